package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/magiconair/properties"

	"yakt/controller/configs"
	"yakt/controller/plan"
)

// The keys of an Apache Kafka server.properties fall into four kinds here:
//
//	applied    they set something in this process (the table below)
//	topics'    a topic's defaults; checked, and kept as written for the controller's answers (topicDefaults)
//	refused    the start fails: security that is not served yet, plug-ins of the JVM, indirections (refusal)
//	ignored    everything else: a broker's own, tuning of Apache's threads, misspelled; named in one warning
//
// Refusing is for keys whose author relies on them for more than speed. A controller that read
// authorizer.class.name and then let everybody in would be worse than one that does not start.

// applied is what each key of the file does to the settings.
var applied = map[string]func(s *Settings, value string) error{
	"node.id":       whole(0, math.MaxInt32, func(s *Settings, n int64) { s.NodeID = int32(n) }),
	"process.roles": processRoles,

	// listeners, advertised.listeners, controller.listener.names and listener.security.protocol.map only make sense
	// together: see loadListeners.
	"controller.quorum.voters":            quorumVoters,
	"controller.quorum.bootstrap.servers": quorumBootstrap,
	"controller.quorum.fetch.timeout.ms":  whole(50, math.MaxInt32, func(s *Settings, n int64) { s.LeaderTimeout = milliseconds(n) }),

	"broker.session.timeout.ms":      whole(1, math.MaxInt32, func(s *Settings, n int64) { s.BrokerSessionTimeout = milliseconds(n) }),
	"num.partitions":                 whole(1, math.MaxInt32, func(s *Settings, n int64) { s.NumPartitions = int32(n) }),
	"default.replication.factor":     whole(1, math.MaxInt16, func(s *Settings, n int64) { s.DefaultReplicationFactor = int16(n) }),
	"min.insync.replicas":            whole(1, math.MaxInt32, func(s *Settings, n int64) { s.MinInSyncReplicas = int32(n) }),
	"unclean.leader.election.enable": truth(func(s *Settings, b bool) { s.UncleanLeaderElection = b }),
	"auto.leader.rebalance.enable":   truth(func(s *Settings, b bool) { s.AutoLeaderRebalance = b }),

	"leader.imbalance.check.interval.seconds": whole(1, math.MaxInt64/int64(time.Second), func(s *Settings, n int64) { s.LeaderImbalanceInterval = time.Duration(n) * time.Second }),

	"metadata.log.max.record.bytes.between.snapshots": whole(1, math.MaxInt64, func(s *Settings, n int64) { s.SnapshotBytes = n }),
	"metadata.log.max.snapshot.interval.ms":           whole(0, math.MaxInt64/int64(time.Millisecond), func(s *Settings, n int64) { s.SnapshotInterval = milliseconds(n) }),

	"socket.request.max.bytes": whole(1024, math.MaxInt32, func(s *Settings, n int64) { s.MaxFrameBytes = int32(n) }),
	"max.connections":          whole(1, math.MaxInt32, func(s *Settings, n int64) { s.MaxConnections = int(n) }),
	"connections.max.idle.ms":  whole(1, math.MaxInt64/int64(time.Millisecond), func(s *Settings, n int64) { s.IdleTimeout = milliseconds(n) }),
}

// listenerKeys are read together by loadListeners.
var listenerKeys = []string{"listeners", "advertised.listeners", "controller.listener.names", "listener.security.protocol.map"}

// dirKeys name the data directory, the first that is set wins. Kafka keeps the metadata log in the first of log.dirs.
var dirKeys = []string{"metadata.log.dir", "log.dirs", "log.dir"}

// topicDefaults are the keys from which a new topic's configs are answered when nobody set them.
var topicDefaults = []string{
	"compression.gzip.level", "compression.lz4.level", "compression.type", "compression.zstd.level",
	"log.cleaner.delete.retention.ms", "log.cleaner.max.compaction.lag.ms", "log.cleaner.min.cleanable.ratio", "log.cleaner.min.compaction.lag.ms",
	"log.cleanup.policy", "log.flush.interval.messages", "log.flush.interval.ms", "log.flush.scheduler.interval.ms",
	"log.index.interval.bytes", "log.index.size.max.bytes", "log.local.retention.bytes", "log.local.retention.ms",
	"log.message.timestamp.after.max.ms", "log.message.timestamp.before.max.ms", "log.message.timestamp.type", "log.preallocate",
	"log.retention.bytes", "log.retention.hours", "log.retention.minutes", "log.retention.ms",
	"log.roll.hours", "log.roll.jitter.hours", "log.roll.jitter.ms", "log.roll.ms",
	"log.segment.bytes", "log.segment.delete.delay.ms", "message.max.bytes",
}

// load reads a properties file into the settings. The error names every key that cannot be taken as it is.
func (s *Settings) load(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	// Apache does not expand ${…} in the file either; config.providers, which would, is refused.
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	parsed, err := loader.LoadBytes(content)
	if err != nil {
		return fmt.Errorf("--config %s: %w", file, err)
	}
	for key, value := range parsed.Map() {
		s.Properties[key] = strings.TrimSpace(value)
	}

	var problems []error
	refuse := func(key string, err error) {
		problems = append(problems, fmt.Errorf("%s: %s: %w", file, key, err))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		value := s.Properties[key]
		set, known := applied[key]
		switch {
		case value == "": // as Kafka writes "not set"
			if known || slices.Contains(topicDefaults, key) {
				refuse(key, errors.New("it has no value: give it one or leave the key out"))
			}
		case known:
			if err := set(s, value); err != nil {
				refuse(key, err)
			}
		case refusal(key, value) != "":
			refuse(key, errors.New(refusal(key, value)))
		case slices.Contains(listenerKeys, key), slices.Contains(dirKeys, key):
		case slices.Contains(topicDefaults, key):
			if why := configs.CheckProperty(key, value); why != "" {
				problems = append(problems, fmt.Errorf("%s: %s", file, why))
			}
		default:
			s.Ignored = append(s.Ignored, key)
		}
	}
	if key, err := s.loadListeners(); err != nil {
		refuse(key, err)
	}
	for _, key := range dirKeys {
		if dir, _, _ := strings.Cut(s.Properties[key], ","); dir != "" {
			s.DataDir = strings.TrimSpace(dir)
			break
		}
	}
	return errors.Join(problems...)
}

// refusal says why a key cannot be taken, or nothing.
func refusal(key, value string) string {
	security := func(what string) string {
		return what + " is not served by this build, and running without it would be less safe than the file asks for: remove the key, and keep the port where only trusted hosts reach it"
	}
	const plugin = "it names a class of the JVM, which cannot be loaded here, and its rules would go unenforced: remove the key"
	own := key // listener.name.<listener>.ssl.keystore.location is ssl.keystore.location of one listener
	if rest, ok := strings.CutPrefix(key, "listener.name."); ok {
		if _, setting, ok := strings.Cut(rest, "."); ok {
			own = setting
		}
	}
	switch {
	case strings.HasPrefix(own, "ssl."):
		return security("TLS")
	case strings.HasPrefix(own, "sasl."), own == "connections.max.reauth.ms", saslMechanism(own):
		return security("SASL")
	case strings.HasPrefix(own, "delegation.token."):
		return security("a delegation token")
	case own == "authorizer.class.name", own == "super.users", own == "allow.everyone.if.no.acl.found":
		return security("authorization")
	case own == "principal.builder.class", own == "security.providers":
		return security("a security plug-in")
	case own == "security.inter.broker.protocol" && value != "PLAINTEXT":
		return security(value)
	case own == "create.topic.policy.class.name", own == "alter.config.policy.class.name", own == "client.quota.callback.class":
		return plugin
	case own == "config.providers", strings.HasPrefix(own, "config.providers."):
		return "values from config providers are not looked up: remove the key and write the values themselves"
	}
	return ""
}

// saslMechanism recognizes per-mechanism keys such as plain.sasl.jaas.config.
func saslMechanism(key string) bool {
	_, rest, ok := strings.Cut(key, ".")
	return ok && strings.HasPrefix(rest, "sasl.")
}

// loadListeners finds this node's address: the listener that controller.listener.names names first. The error comes with
// the key to correct.
func (s *Settings) loadListeners() (key string, err error) {
	names := splitList(s.Properties["controller.listener.names"])
	if len(names) > 0 {
		s.ListenerName = names[0]
	}
	if len(names) > 1 {
		return "controller.listener.names", fmt.Errorf("it names %d listeners and this build serves one: leave only the one that brokers use", len(names))
	}
	if text := s.Properties["listeners"]; text != "" {
		addrs, err := parseListeners(text)
		if err != nil {
			return "listeners", err
		}
		for name := range addrs {
			if name != s.ListenerName {
				return "listeners", fmt.Errorf("%s is not the controller listener (%s), and a controller has no other: remove it, or correct controller.listener.names", name, s.ListenerName)
			}
		}
		s.Addr = addrs[s.ListenerName]
	}
	if text := s.Properties["advertised.listeners"]; text != "" {
		addrs, err := parseListeners(text)
		if err != nil {
			return "advertised.listeners", err
		}
		// Brokers' listeners may stand here too, in a file that is shared; only our own is advertised by this node.
		if addr, ok := addrs[s.ListenerName]; ok {
			s.Advertise = addr
		} else {
			return "advertised.listeners", fmt.Errorf("the controller listener %s is not among them: add %s://HOST:PORT", s.ListenerName, s.ListenerName)
		}
	}
	// Without an entry the name itself may be a protocol, and CONTROLLER and the like are PLAINTEXT.
	protocol := "PLAINTEXT"
	if slices.Contains(plan.SecurityProtocols[:], strings.ToUpper(s.ListenerName)) {
		protocol = strings.ToUpper(s.ListenerName)
	}
	for _, entry := range splitList(s.Properties["listener.security.protocol.map"]) {
		name, p, ok := strings.Cut(entry, ":")
		if !ok {
			return "listener.security.protocol.map", fmt.Errorf("%q is not LISTENER:PROTOCOL", entry)
		}
		// Apache's stock files map names that no listener has (SSL:SSL); only this node's listener counts.
		if name == s.ListenerName {
			protocol = strings.ToUpper(strings.TrimSpace(p))
		}
	}
	if protocol != "PLAINTEXT" {
		return "listener.security.protocol.map", fmt.Errorf("the listener %s is %s, and this build serves PLAINTEXT only: map it to PLAINTEXT, and keep the port where only trusted hosts reach it", s.ListenerName, protocol)
	}
	return "", nil
}

// parseListeners reads NAME://HOST:PORT,…, where an empty host listens everywhere.
func parseListeners(text string) (map[string]string, error) {
	addrs := map[string]string{}
	for _, entry := range splitList(text) {
		name, addr, ok := strings.Cut(entry, "://")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not NAME://HOST:PORT", entry)
		}
		if _, _, err := splitAddr(addr, true); err != nil {
			return nil, fmt.Errorf("%q is not NAME://HOST:PORT: %w", entry, err)
		}
		if _, ok := addrs[name]; ok {
			return nil, fmt.Errorf("the listener %s is given twice", name)
		}
		addrs[name] = addr
	}
	return addrs, nil
}

func processRoles(_ *Settings, value string) error {
	if roles := splitList(value); len(roles) != 1 || roles[0] != "controller" {
		return fmt.Errorf("it is %q, and YAKt is a controller only: set it to controller, and start the broker as a process of its own with process.roles=broker", value)
	}
	return nil
}

func quorumVoters(s *Settings, value string) error {
	for _, entry := range splitList(value) {
		p, err := parsePeer(entry, "@")
		if err != nil {
			return fmt.Errorf("%q is not ID@HOST:PORT: %w", entry, err)
		}
		s.quorum.voters = append(s.quorum.voters, p)
	}
	return nil
}

func quorumBootstrap(s *Settings, value string) error {
	for _, entry := range splitList(value) {
		if _, _, err := splitAddr(entry, false); err != nil {
			return fmt.Errorf("%q is not HOST:PORT: %w", entry, err)
		}
		s.quorum.bootstrap = append(s.quorum.bootstrap, entry)
	}
	return nil
}

// whole makes a setter for a number within bounds.
func whole(low, high int64, set func(*Settings, int64)) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
			return fmt.Errorf("%q is not a whole number", value)
		case n < low:
			return fmt.Errorf("%d is too small: it must be at least %d", n, low)
		case n > high:
			return fmt.Errorf("%d is too large: it must be at most %d", n, high)
		}
		set(s, n)
		return nil
	}
}

// truth makes a setter for true or false.
func truth(set func(*Settings, bool)) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		switch strings.ToLower(value) {
		case "true":
			set(s, true)
		case "false":
			set(s, false)
		default:
			return fmt.Errorf("%q is neither true nor false", value)
		}
		return nil
	}
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// splitList reads a comma-separated list, without its blanks.
func splitList(text string) []string {
	var list []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}
