"""What users of librdkafka do, bootstrapped from one address: librdkafka.py HOST:PORT NAME. NAME begins all names."""
import sys

from confluent_kafka import Consumer, ConsumerGroupType, KafkaException, Producer, TopicPartition
from confluent_kafka import admin as adm
from confluent_kafka.admin import AdminClient

bootstrap, name = sys.argv[1:]
records = 1000
patience = 60  # seconds for one step


def check(holds, *what):
    if not holds:
        sys.exit("%s: %s" % (name, " ".join(map(str, what))))


def done(futures):
    """The results of an admin request, by what was asked for."""
    return {key: future.result(patience) for key, future in futures.items()}


admin = AdminClient({"bootstrap.servers": bootstrap})

cluster = admin.describe_cluster(request_timeout=patience).result(patience)
check({101, 102} <= {node.id for node in cluster.nodes}, "nodes", [node.id for node in cluster.nodes])
check(cluster.controller is not None, "no controller")

topic = name + "-topic"
done(admin.create_topics([adm.NewTopic(topic, 3, 1, config={"retention.ms": "7777777"})]))
try:
    done(admin.create_topics([adm.NewTopic(topic, 3, 1)]))
    check(False, "the topic was created twice")
except KafkaException as e:
    check(e.args[0].name() == "TOPIC_ALREADY_EXISTS", e)
done(admin.create_partitions([adm.NewPartitions(topic, 4)]))

resource = adm.ConfigResource(adm.ResourceType.TOPIC, topic)
done(admin.incremental_alter_configs([adm.ConfigResource(adm.ResourceType.TOPIC, topic, incremental_configs=[
    adm.ConfigEntry("segment.ms", "8888888", incremental_operation=adm.AlterConfigOpType.SET),
    adm.ConfigEntry("retention.ms", None, incremental_operation=adm.AlterConfigOpType.DELETE)])]))

# Each broker answers from what it has heard from its controller by then, and librdkafka asks any.
for _ in range(patience * 10):
    partitions = admin.list_topics(topic, timeout=patience).topics[topic].partitions
    configs = done(admin.describe_configs([resource]))[resource]
    if len(partitions) == 4 and all(p.leader > 0 for p in partitions.values()) and configs["segment.ms"].value == "8888888":
        break
    admin.poll(0.1)
check(len(partitions) == 4, "partitions", partitions)
check(configs["segment.ms"].value == "8888888", "segment.ms", configs["segment.ms"])
check(configs["retention.ms"].value == "604800000", "retention.ms", configs["retention.ms"])

failed = []
producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
for i in range(records):
    producer.produce(topic, value=str(i), partition=i % 4, on_delivery=lambda e, m: e and failed.append(e))
check(producer.flush(patience) == 0, "records are still on their way")
check(not failed, "records failed", failed[:3])

for tries in range(patience * 10):
    try:
        offsets = done(admin.list_offsets({TopicPartition(topic, p): adm.OffsetSpec.latest() for p in range(4)}))
        break
    except KafkaException as e:  # the broker that was asked for the partitions has not heard of the fourth
        check(e.args[0].name() == "_UNKNOWN_PARTITION" and tries < patience * 10 - 1, e)
        admin.poll(0.1)
check(sum(o.offset for o in offsets.values()) == records, "offsets", offsets)

for protocol in "classic", "consumer":
    group = name + "-" + protocol
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol,
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    seen = set()
    for _ in range(patience * 2):
        for message in consumer.consume(records, timeout=0.5):
            check(message.error() is None, "consume", message.error())
            seen.add(message.value())
        if len(seen) == records:
            break
    check(len(seen) == records, protocol, "group saw", len(seen), "records")
    committed = consumer.commit(asynchronous=False)
    check(sum(p.offset for p in committed) == records, "committed", committed)
    listed = {g.group_id: g for g in admin.list_consumer_groups(request_timeout=patience).result(patience).valid}
    check(group in listed, "groups", list(listed))
    check(listed[group].type == ConsumerGroupType[protocol.upper()], "type of", group, listed[group].type)
    described = done(admin.describe_consumer_groups([group]))[group]
    check(len(described.members) == 1, "members", described.members)
    consumer.close()
    done(admin.delete_consumer_groups([group]))

done(admin.delete_topics([topic]))
print("librdkafka did all through", bootstrap)
