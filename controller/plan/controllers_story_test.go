package plan

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// controller id=3000 [incarnation=first] [listener=name://host:port/protocol …] [feature=name:min-max …]: a
// ControllerRegistration. Features are added to what this release supports.
func (s *story) cmdController(d *datadriven.TestData) string {
	req := s.controllerRegistration(d)
	r := s.do(func(v *View) Result { return RegisterController(v, req) })
	if registered := ControllerRegistered(s.image, req); registered != (r.Refusal == nil) {
		s.tb.Errorf("%s: registered %v after %v", d.Pos, registered, r.Refusal)
	}
	return s.result(r)
}

// self …: this node is the controller that would register so.
func (s *story) cmdSelf(d *datadriven.TestData) string {
	s.settings.Self = s.controllerRegistration(d)
	return ""
}

func (s *story) controllerRegistration(d *datadriven.TestData) *kmsg.ControllerRegistrationRequest {
	a := args{s.tb, d}
	req := kmsg.NewPtrControllerRegistrationRequest()
	req.ControllerID = int32(a.number("id", 0))
	req.IncarnationID = incarnation(a.text("incarnation", "first"))
	for _, f := range records.SupportedFeatures() {
		req.Features = append(req.Features, kmsg.ControllerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	if !a.has("listener") {
		req.Listeners = []kmsg.ControllerRegistrationRequestListener{{Name: "CONTROLLER", Host: "here", Port: 9093}}
	}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "listener":
			l := parseListener(s.tb, d, arg.Vals[0])
			req.Listeners = append(req.Listeners, kmsg.ControllerRegistrationRequestListener{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
		case "feature":
			f := kmsg.ControllerRegistrationRequestFeature{}
			name, levels, _ := strings.Cut(arg.Vals[0], ":")
			if f.Name = name; levels != "" {
				if _, err := fmt.Sscanf(levels, "%d-%d", &f.MinSupportedVersion, &f.MaxSupportedVersion); err != nil {
					d.Fatalf(s.tb, "%s: %v", arg.Vals[0], err)
				}
			}
			req.Features = append(req.Features, f)
		}
	}
	return req
}

func controllerText(r *records.RegisterController) string {
	out := fmt.Sprintf("RegisterController(%d %s", r.ControllerID, strings.TrimRight(string(r.IncarnationID[:]), "\x00"))
	for _, e := range r.EndPoints {
		out += fmt.Sprintf(" %s://%s:%d/%d", e.Name, e.Host, e.Port, e.SecurityProtocol)
	}
	return out + fmt.Sprintf(" features=%d)", len(r.Features))
}
