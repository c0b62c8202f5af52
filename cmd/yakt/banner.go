package main

import (
	"fmt"
	"io"
	"strings"
)

// banner is what a person sees first: where the server is, and the lines with which a broker joins it.
// Scripts may read the lines `address` and `cluster id`; their first word and the last stay as they are.
type banner struct {
	nodeID       int32
	listen       string // the address that is really listened on
	advertise    string
	listenerName string
	clusterID    string
	dataDir      string
	newCluster   bool
	http         string // what is served by HTTP
}

// write prints the banner in one write, so that it is not torn by log lines on the same terminal.
func (b banner) write(w io.Writer) error {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }

	origin := "kept from an earlier start"
	if b.newCluster {
		origin = "new"
	}
	served := "Kafka and HTTP on one port"
	if b.http == httpOff {
		served = "Kafka only, no HTTP"
	}
	line("YAKt controller %d is up: %s.", b.nodeID, served)
	line("")
	line("  address     %s", b.listen)
	if b.advertise != b.listen {
		line("  advertised  %s", b.advertise)
	}
	line("  data        %s (%s)", b.dataDir, origin)
	line("  cluster id  %s", b.clusterID)
	line("")
	line("A broker joins with these lines in its properties file (its node.id must differ from every controller's and every broker's):")
	line("")
	for _, property := range b.brokerProperties() {
		line("  %s", property)
	}
	line("")
	line("Then, where Apache Kafka is unpacked:")
	line("")
	line("  bin/kafka-storage.sh format -t %s -c FILE", b.clusterID)
	line("  bin/kafka-server-start.sh FILE")
	line("  bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic hello --partitions 3")
	if b.http != httpOff {
		line("")
		line("What this controller knows: curl http://%s/get_metadata", b.advertise)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// brokerProperties are the lines of a broker that runs alone beside this controller. The three last ones are for a
// cluster of fewer than three brokers, where Kafka's defaults leave consumer groups and transactions without a topic.
func (b banner) brokerProperties() []string {
	broker := b.nodeID + 100
	if broker < 0 { // it would be too large
		broker = b.nodeID - 100
	}
	return []string{
		"process.roles=broker",
		fmt.Sprintf("node.id=%d", broker),
		"listeners=PLAINTEXT://127.0.0.1:9092",
		"controller.listener.names=" + b.listenerName,
		"controller.quorum.bootstrap.servers=" + b.advertise,
		fmt.Sprintf("log.dirs=kafka-data/%d", broker),
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
	}
}
