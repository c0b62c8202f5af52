package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"yakt/records"
)

// dumpCmd prints what a controller has written: files of the metadata log batch by batch, or
// single record values line by line.
type dumpCmd struct {
	Hex       bool     `help:"Read record values in hex from standard input, one a line, and print each as JSON."`
	Roundtrip bool     `help:"With --hex: print each value as it is written again, in hex."`
	Strict    bool     `help:"Refuse also what Kafka's readers tolerate but no controller writes."`
	Files     []string `arg:"" optional:"" name:"file" help:"Log segments (.log) and snapshots (.checkpoint) of a metadata log, or the data directory of a node that is stopped. One line of JSON is printed for each batch."`
}

// Run is what kong calls.
func (c *dumpCmd) Run() error { return c.run(os.Stdin, os.Stdout, os.Stderr) }

// run prints to stdout what is there, and to stderr what is to be known of it.
func (c *dumpCmd) run(stdin io.Reader, stdout, stderr io.Writer) error {
	switch {
	case c.Hex && len(c.Files) > 0:
		return errors.New("dump: --hex reads standard input, so it takes no files")
	case c.Roundtrip && !c.Hex:
		return errors.New("dump: --roundtrip belongs to --hex")
	case !c.Hex && len(c.Files) == 0:
		return errors.New("dump: name the files to print, or give --hex and record values on standard input")
	}
	out := bufio.NewWriterSize(stdout, 64<<10)
	if c.Hex {
		return errors.Join(c.dumpValues(bufio.NewReaderSize(stdin, 64<<10), out), out.Flush())
	}
	var errs []error
	for _, name := range c.Files {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			errs = append(errs, c.dumpDirectory(name, out, stderr))
			continue
		}
		errs = append(errs, c.dumpFile(name, out))
	}
	return errors.Join(append(errs, out.Flush())...)
}

// maxHexLine is the longest line that is read as a record value: no batch takes a larger one.
const maxHexLine = 2*records.MaxBatchBytes + 2

// dumpValues answers every line with a line. A bad one is answered with its error.
func (c *dumpCmd) dumpValues(in *bufio.Reader, out *bufio.Writer) error {
	var line, answer []byte
	for {
		var err error
		var long bool
		line, long, err = readLine(in, line[:0])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if long {
			err = fmt.Errorf("the line is longer than any record value, %d characters", maxHexLine)
		} else {
			answer, err = c.dumpValue(answer[:0], line)
		}
		if err != nil {
			answer = appendError(answer[:0], err)
		}
		if _, err := out.Write(append(answer, '\n')); err != nil {
			return err
		}
		if in.Buffered() == 0 { // whoever wrote the line may wait for the answer
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

// readLine appends the next line to line, without what ends it; of a line that is too long it says
// only that. At the end of the input it returns io.EOF, but a last line needs no line break.
func readLine(in *bufio.Reader, line []byte) (_ []byte, long bool, err error) {
	for n := 0; ; n++ {
		part, err := in.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxHexLine; !long {
			line = append(line, part...)
		}
		switch {
		case err == nil:
			return line, long, nil
		case err == io.EOF && (n > 0 || len(part) > 0):
			return line, long, nil
		case err != bufio.ErrBufferFull:
			return nil, false, err
		}
	}
}

func (c *dumpCmd) dumpValue(dst, line []byte) ([]byte, error) {
	line = bytes.TrimSpace(line)
	value := make([]byte, hex.DecodedLen(len(line)))
	if _, err := hex.Decode(value, line); err != nil {
		return nil, err
	}
	r, version, err := c.readRecord(value)
	if err != nil {
		return nil, err
	}
	if c.Roundtrip {
		again, err := records.AppendRecord(nil, r, version)
		if err != nil {
			return nil, err
		}
		return hex.AppendEncode(dst, again), nil
	}
	dst = append(dst, `{"type":"`...)
	dst = append(dst, r.APIKey().String()...)
	dst = append(dst, `","version":`...)
	dst = strconv.AppendInt(dst, int64(version), 10)
	dst = append(dst, `,"data":`...)
	if dst, err = records.AppendJSON(dst, r, version); err != nil {
		return nil, err
	}
	dst = appendUnknownTags(dst, r)
	return append(dst, '}'), nil
}

func (c *dumpCmd) readRecord(value []byte) (records.Record, int16, error) {
	if c.Strict {
		return records.ReadRecordStrict(value)
	}
	return records.ReadRecord(value)
}

// appendUnknownTags appends a member for the tagged fields that no schema names, if there are any.
func appendUnknownTags(dst []byte, r records.Record) []byte {
	tags := records.UnknownTags(r)
	if len(tags) == 0 {
		return dst
	}
	dst = append(dst, `,"unknownTaggedFields":[`...)
	for i, t := range tags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"tag":`...)
		dst = strconv.AppendUint(dst, uint64(t.Tag), 10)
		dst = append(dst, `,"hex":"`...)
		dst = hex.AppendEncode(dst, t.Data)
		dst = append(dst, `"}`...)
	}
	return append(dst, ']')
}

func appendError(dst []byte, err error) []byte {
	text, jsonErr := json.Marshal(strings.TrimPrefix(err.Error(), "records: "))
	if jsonErr != nil {
		panic(jsonErr) // a string always has a JSON form
	}
	dst = append(dst, `{"error":`...)
	dst = append(dst, text...)
	return append(dst, '}')
}

// dumpFile prints a line for each batch of a file. It stops in front of a batch that is damaged or
// cut off; a record that cannot be read stands in its batch as an error, and the rest goes on.
func (c *dumpCmd) dumpFile(name string, out *bufio.Writer) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	batches := records.NewBatchReader(bufio.NewReaderSize(f, 64<<10))
	var bad error
	var last records.Batch
	var line []byte
	for {
		pos := batches.Position()
		b, err := batches.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return errors.Join(bad, fmt.Errorf("%s: %w", name, err))
		}
		line, err = c.appendBatch(line[:0], b)
		if err != nil && bad == nil {
			bad = fmt.Errorf("%s: byte %d: %w", name, pos, err)
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
		last = b
	}
	if bad == nil && strings.HasSuffix(name, ".checkpoint") && !endsCheckpoint(last) {
		return fmt.Errorf("%s: byte %d: the snapshot ends without its footer, so it was never finished", name, batches.Position())
	}
	return bad
}

func endsCheckpoint(last records.Batch) bool {
	if last == nil || !last.Control() {
		return false
	}
	controls, err := last.DecodeControl()
	return err == nil && len(controls) == 1 && controls[0].ControlType() == records.ControlSnapshotFooter
}

// appendBatch appends a batch as JSON. The error is the first of its records', which is also in the text.
func (c *dumpCmd) appendBatch(dst []byte, b records.Batch) ([]byte, error) {
	dst = append(dst, '{')
	for _, field := range [...]struct {
		name  string
		value int64
	}{
		{"baseOffset", b.BaseOffset()},
		{"batchLength", int64(b.LengthField())},
		{"partitionLeaderEpoch", int64(b.LeaderEpoch())},
		{"magic", int64(b.Magic())},
		{"crc", int64(b.CRC())},
		{"attributes", int64(b.Attributes())},
		{"lastOffsetDelta", int64(b.LastOffsetDelta())},
		{"baseTimestamp", b.Timestamp()},
		{"maxTimestamp", b.MaxTimestamp()},
		{"producerId", b.ProducerID()},
		{"producerEpoch", int64(b.ProducerEpoch())},
		{"baseSequence", int64(b.BaseSequence())},
		{"recordCount", int64(b.Count())},
	} {
		dst = append(dst, '"')
		dst = append(dst, field.name...)
		dst = append(dst, '"', ':')
		dst = strconv.AppendInt(dst, field.value, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"control":`...)
	dst = strconv.AppendBool(dst, b.Control())
	dst = append(dst, `,"records":[`...)
	var bad error
	if c.Strict {
		bad = b.Check()
	}
	comma := false
	for raw, err := range b.Records() {
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		start := len(dst)
		if err == nil {
			if b.Control() {
				dst, err = c.appendControl(dst, raw)
			} else {
				dst, err = c.appendRecord(dst, raw)
			}
		}
		if err != nil {
			dst = appendError(dst[:start], err)
			if bad == nil {
				bad = fmt.Errorf("offset %d: %w", raw.Offset, err)
			}
		}
	}
	return append(dst, "]}"...), bad
}

func (c *dumpCmd) appendRecord(dst []byte, raw records.RawRecord) ([]byte, error) {
	r, version, err := c.readRecord(raw.Value)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `{"offset":`...)
	dst = strconv.AppendInt(dst, raw.Offset, 10)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, r.APIKey().String()...)
	dst = append(dst, `","apiKey":`...)
	dst = strconv.AppendInt(dst, int64(r.APIKey()), 10)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, int64(version), 10)
	dst = append(dst, `,"json":`...)
	if dst, err = records.AppendJSON(dst, r, version); err != nil {
		return dst, err
	}
	dst = appendUnknownTags(dst, r)
	return append(dst, '}'), nil
}

func (c *dumpCmd) appendControl(dst []byte, raw records.RawRecord) ([]byte, error) {
	r, err := records.ReadControl(raw.Key, raw.Value)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `{"offset":`...)
	dst = strconv.AppendInt(dst, raw.Offset, 10)
	dst = append(dst, `,"controlType":`...)
	dst = strconv.AppendInt(dst, int64(r.ControlType()), 10)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, r.ControlType().String()...)
	dst = append(dst, `","json":`...)
	if dst, err = records.AppendControlJSON(dst, r); err != nil {
		return dst, err
	}
	return append(dst, '}'), nil
}
