package configs

import (
	"slices"
	"strings"
	"testing"
)

func TestTablesAreSortedAndTheirDefaultsAllowed(t *testing.T) {
	for _, table := range [][]Def{groupConfigs, clientMetrics} {
		if !slices.IsSortedFunc(table, func(a, b Def) int { return strings.Compare(a.Name, b.Name) }) {
			t.Error("not sorted by name: they could not be found")
		}
		for _, d := range table {
			if wrong := d.Check(d.Default); wrong != "" {
				t.Errorf("default of %s: %s", d.Name, wrong)
			}
		}
	}
	for name, bounds := range groupBounds {
		d, ok := Group(name)
		if !ok {
			t.Fatalf("%s has limits and is none", name)
		}
		value, _ := d.Parse(d.Default)
		for _, b := range bounds {
			if b.Above && value.(int64) > b.Default || !b.Above && value.(int64) < b.Default {
				t.Errorf("%s is %d by default, against %+v", name, value, b)
			}
		}
	}
}

func TestDurationsAreThoseThatJavaReads(t *testing.T) {
	d, _ := Group("share.auto.offset.reset")
	for value, allowed := range map[string]bool{
		"latest": true, "earliest": true, "by_duration:PT1H": true, "by_duration:P1DT2H3M4.5S": true, "by_duration:pt1s": true,
		"": false, "Latest": false, "by_duration:": false, "by_duration:P": false, "by_duration:P1DT": false, "by_duration:1H": false, "by_duration:PT-1H": false, "by_duration:-PT1H": false,
	} {
		if wrong := d.Check(value); (wrong == "") != allowed {
			t.Errorf("%q: %q", value, wrong)
		}
	}
}

func TestBrokerConfigsThatMayBeShown(t *testing.T) {
	for name, sensitive := range map[string]bool{
		"log.retention.ms": false, "node.id": false, "ssl.keystore.password": true, "listener.name.x.ssl.keystore.password": true,
		"listener.name.x.ssl.keystore.location": false, "made.up": true, "listener.name.x": true,
	} {
		if BrokerSensitive(name) != sensitive {
			t.Errorf("%s: %v", name, !sensitive)
		}
	}
	for name, want := range map[string]bool{"log.cleanup.policy": true, "ssl.enabled.protocols": true, "log.retention.ms": false, "made.up": false} {
		if _, isList := BrokerList(name); isList != want {
			t.Errorf("%s is a list: %v", name, isList)
		}
	}
	if BrokerReadOnly("log.cleaner.threads") || !BrokerReadOnly("node.id") {
		t.Error("what takes a restart")
	}
}

func TestSelectorsOfClients(t *testing.T) {
	for selector, allowed := range map[string]bool{
		"client_id=a.*": true, " client_software_version = 4\\..* ": true, `client_id=a{1}`: true, `client_id=\{x`: true,
		"": false, "client_id": false, "client_id=": false, "client_id=a=b": false, "made_up=a": false, "client_id=(": false, "client_id=a{": false, "client_id=(?P<n>a)": false,
	} {
		if wrong := CheckMatch(selector); (wrong == "") != allowed {
			t.Errorf("%q: %q", selector, wrong)
		}
	}
}
