// Package apache runs unmodified Apache Kafka, brokers and tools, against the built yakt binary.
//
//	kafka.go       Kafka's jars, fetched through Maven once per version and kept
//	java.go        one JVM: a tool that answers, or a broker that stays
//	toolbox.go     one JVM for many tools
//	broker.go      a broker: formatted, started, watched until it serves, stopped
//	controller.go  Apache's own controller, to compare with
//	*_test.go      what users rely on
//
// Where there is no java or no mvn the tests are skipped with a message, and so is librdkafka where there is no python3; with
// YAKT_REQUIRE_APACHE=1 they fail instead. YAKT_KAFKA_CACHE says where Kafka and librdkafka, which pip installs into an
// environment of its own, are kept (by default in the user's cache directory).
package apache

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The versions that are tried. Current is the one YAKt follows; Oldest still speaks everything YAKt needs of a broker.
const (
	Current = "4.3.0"
	Oldest  = "4.0.0"
)

// fetchTimeout is for some 60 MB over a slow line.
const fetchTimeout = 15 * time.Minute

// kafkas holds what has been found out about each version in this process.
var kafkas sync.Map // version → func() (string, error)

// classpath returns Kafka's classpath, fetching Kafka when this machine has not got it yet. It skips the test where that
// cannot be done, unless Apache's tests are required.
func classpath(t testing.TB, version string) string {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("YAKT_REQUIRE_APACHE") == "1" {
				t.Fatalf("YAKT_REQUIRE_APACHE=1, and there is no %s: %v", program, err)
			}
			t.Skipf("Apache Kafka is not tried here: there is no %s", program)
		}
	}
	find, _ := kafkas.LoadOrStore(version, sync.OnceValues(func() (string, error) { return fetch(version) }))
	libs, err := find.(func() (string, error))()
	if err != nil {
		t.Fatalf("Apache Kafka %s: %v", version, err)
	}
	return filepath.Join(libs, "*")
}

// fetch returns the directory of Kafka's jars. Several processes may call it at once: one fetches, the others wait. What
// is not complete never has the final name.
func fetch(version string) (libs string, err error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, version)
	libs = filepath.Join(home, "libs")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(home+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(libs); err == nil {
		return libs, nil
	}

	work, err := os.MkdirTemp(cache, version+".part-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }() // gone already when all went well
	description, err := pom(version)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), description, 0o644); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(work, "libs"))
	mvn.Dir = work
	if output, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn dependency:copy-dependencies: %w\n%s", err, output)
	}
	if err := os.Rename(work, home); err != nil {
		return "", err
	}
	return libs, nil
}

// cacheDir is where Kafka is kept between runs.
func cacheDir() (string, error) {
	if dir := os.Getenv("YAKT_KAFKA_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w; name a directory in YAKT_KAFKA_CACHE", err)
	}
	return filepath.Join(dir, "yakt", "kafka"), nil
}

type project struct {
	XMLName      xml.Name     `xml:"http://maven.apache.org/POM/4.0.0 project"`
	ModelVersion string       `xml:"modelVersion"`
	GroupID      string       `xml:"groupId"`
	ArtifactID   string       `xml:"artifactId"`
	Version      string       `xml:"version"`
	Packaging    string       `xml:"packaging"`
	Dependencies []dependency `xml:"dependencies>dependency"`
}

type dependency struct {
	GroupID    string `xml:"groupId"`
	ArtifactID string `xml:"artifactId"`
	Version    string `xml:"version"`
}

// pom asks Maven for one version of Kafka: the server, its tools and shell, and a logger that prints.
func pom(version string) ([]byte, error) {
	const log4j = "2.24.3"
	return xml.MarshalIndent(project{
		ModelVersion: "4.0.0", GroupID: "yakt", ArtifactID: "kafka", Version: version, Packaging: "pom",
		Dependencies: []dependency{
			{"org.apache.kafka", "kafka_2.13", version},
			{"org.apache.kafka", "kafka-tools", version},
			{"org.apache.kafka", "kafka-shell", version},
			{"org.apache.logging.log4j", "log4j-slf4j-impl", log4j},
			{"org.apache.logging.log4j", "log4j-core", log4j},
		},
	}, "", "  ")
}
