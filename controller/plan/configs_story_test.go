package plan

import (
	"strings"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

func init() {
	storyCommands["alter-configs"] = (*story).cmdAlterConfigs
	storyCommands["replace-configs"] = (*story).cmdReplaceConfigs
}

// configLine is a line "kind name operation key=value" of a story; "-" stands for an empty name, a key without = for a
// null value, and pad for a long value. Lines in a row about the same resource belong together unless a line "---" stands between them.
type configLine struct {
	configResource
	op    string
	key   string
	value *string
}

var configKinds = map[string]int8{
	"topic": image.ConfigTopic, "broker": image.ConfigBroker, "logger": image.ConfigLogger,
	"metrics": image.ConfigClientMetrics, "group": image.ConfigGroup, "other": 77,
}

// configLines reads the lines of a command, one list for each resource.
func (s *story) configLines(d *datadriven.TestData) [][]configLine {
	var out [][]configLine
	again := true
	for _, l := range lines(d) {
		w := strings.Fields(l)
		if l == "---" {
			again = true
			continue
		}
		c := configLine{configResource: configResource{configKinds[w[0]], w[1]}}
		if c.name == "-" {
			c.name = ""
		}
		if len(w) > 2 {
			c.op = w[2]
		}
		if len(w) > 3 {
			key, value, ok := strings.Cut(w[3], "=")
			c.key = key
			if ok {
				value = strings.ReplaceAll(value, "pad", strings.Repeat("x", 32768))
				c.value = &value
			}
		}
		if again || out[len(out)-1][0].configResource != c.configResource {
			out = append(out, nil)
		}
		again = false
		out[len(out)-1] = append(out[len(out)-1], c)
	}
	return out
}

var configOps = map[string]kmsg.IncrementalAlterConfigOp{"set": 0, "delete": 1, "append": 2, "subtract": 3, "bend": 9}

// alter-configs [validate-only], then configLines with set, delete, append, subtract or bend: IncrementalAlterConfigs.
func (s *story) cmdAlterConfigs(d *datadriven.TestData) string {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version, req.ValidateOnly = 1, d.HasArg("validate-only")
	for _, all := range s.configLines(d) {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(all[0].kind), all[0].name
		for _, l := range all {
			if l.op != "" {
				r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: l.key, Op: configOps[l.op], Value: l.value})
			}
		}
		req.Resources = append(req.Resources, r)
	}
	r := s.do(func(v *View) Result { return IncrementalAlterConfigs(v, req) })
	var out string
	for _, a := range r.Response.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		out += line(a.ResourceName, a.ErrorCode, a.ErrorMessage)
	}
	return out + s.result(Result{Records: r.Records})
}

// replace-configs [validate-only], then configLines with set: AlterConfigs.
func (s *story) cmdReplaceConfigs(d *datadriven.TestData) string {
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version, req.ValidateOnly = 2, d.HasArg("validate-only")
	for _, all := range s.configLines(d) {
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(all[0].kind), all[0].name
		for _, l := range all {
			if l.op != "" {
				r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: l.key, Value: l.value})
			}
		}
		req.Resources = append(req.Resources, r)
	}
	r := s.do(func(v *View) Result { return AlterConfigs(v, req) })
	var out string
	for _, a := range r.Response.(*kmsg.AlterConfigsResponse).Resources {
		out += line(a.ResourceName, a.ErrorCode, a.ErrorMessage)
	}
	return out + s.result(Result{Records: r.Records})
}
