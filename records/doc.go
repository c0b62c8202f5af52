// Package records is what is written: Kafka's metadata records, the batches that hold them and the checkpoints that sum
// them up, byte for byte as Apache Kafka 4.3 reads and writes them.
//
//	record.go, codec.go        one framed record; the codec that walks a type's one list of fields
//	json.go                    the same list as JSON, in the words of Apache's tools
//	version.go                 which record version each metadata.version writes
//	batch.go, builder.go       the v2 record batch: checked and read; built
//	control.go                 control records: leader change, snapshot header and footer, KRaft version and voters
//	checkpoint.go              the .checkpoint snapshot file
//	sequence.go                what may come next in a log
//	topics.go, brokers.go …    the record types, one domain each
//
// Reading takes what Apache takes; the strict readers refuse what no controller writes. Neither panics, whatever the
// input, nor allocates more than a small multiple of it. Everything is a plain value: the package starts no goroutine,
// holds no lock and does no I/O but through the readers and writers it is given.
package records
