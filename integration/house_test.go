// Package integration holds what users rely on, tried from outside; in this directory itself there is only the house
// test, which reads the sources and says where they break the rules of the house:
//
//	what lies where              TestTopLevelHoldsOnlyWhatIsKnown
//	who may import whom          TestImportsFollowTheHouse, TestLibrariesStayInTheirPackage
//	pure decisions stay pure     TestDecisionsArePureFunctions
//	tests wait for something     TestOnlyVirtualTimeIsSlept
//	a reader finds the way       TestPackagesAndExportedNamesAreExplained, TestFilesAreReadable
package integration

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "yakt"

// source is one parsed Go file. dir and file are relative to the module, with slashes.
type source struct {
	dir, file string
	test      bool
	text      []byte
	fset      *token.FileSet
	tree      *ast.File
}

// at says where something stands, for messages.
func (s source) at(pos token.Pos) string {
	return s.file + ":" + strconv.Itoa(s.fset.Position(pos).Line)
}

// imports maps each import's path to the name it has in the file.
func (s source) imports() map[string]string {
	all := map[string]string{}
	for _, spec := range s.tree.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // it was parsed
		}
		name := path.Base(p)
		if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		all[p] = name
	}
	return all
}

// sources parses every Go file of the module, but for data of tests.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "testdata" || name == ".git" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		s := source{file: strings.TrimPrefix(filepath.ToSlash(file), "../"), text: text, fset: token.NewFileSet()}
		s.dir, s.test = path.Dir(s.file), strings.HasSuffix(s.file, "_test.go")
		s.tree, err = parser.ParseFile(s.fset, file, text, parser.ParseComments)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files were found", len(all))
	}
	return all
}

func TestTopLevelHoldsOnlyWhatIsKnown(t *testing.T) {
	known := []string{
		"cmd", "controller", "docs", "httpapi", "integration", "raftlog", "records", "wire",
		"LICENSE", "README.md", "go.mod", "go.sum", ".ci", ".git", ".gitignore",
		"yakt", "yakt-data", // what building and running leave behind
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains(known, entry.Name()) {
			t.Errorf("%s is new at the top: does it belong into one of the packages?", entry.Name())
		}
	}
}

// mayImport lists, for each package, which others of this module it may use.
var mayImport = map[string][]string{
	"records":                  {},
	"wire":                     {},
	"raftlog":                  {"records"},
	"controller/image":         {"records"},
	"controller/configs":       {},
	"controller/plan":          {"records", "controller/configs", "controller/image"},
	"controller/query":         {"records", "controller/configs", "controller/image"},
	"controller":               {"records", "controller/image", "controller/plan", "controller/query"},
	"httpapi":                  {"records", "controller", "controller/configs", "controller/image", "controller/plan"},
	"cmd/yakt":                 {"records", "controller", "controller/configs", "controller/image", "controller/plan", "httpapi", "raftlog", "wire"},
	".ci":                      {},
	"integration":              {},
	"integration/harness":      {},
	"integration/apache":       {"integration/harness"},
	"integration/clients":      {"integration/harness"},
	"integration/quorum":       {"integration/harness"},
	"integration/perf":         {"integration/harness"},
	"integration/http":         {"records", "controller", "controller/image", "httpapi", "integration/harness"},
	"integration/sim":          {"records", "controller", "controller/image", "controller/plan", "controller/query", "integration/linear/model"},
	"integration/linear/model": {},
	"integration/linear":       {"integration/harness", "integration/linear/model"},
}

func TestImportsFollowTheHouse(t *testing.T) {
	for _, s := range sources(t) {
		allowed, ok := mayImport[s.dir]
		if !ok {
			t.Errorf("%s: the package %s is not in the table of this test", s.file, s.dir)
			continue
		}
		for p := range s.imports() {
			own, ok := strings.CutPrefix(p, module+"/")
			// A package's tests may stand outside of it (package x_test), and run the built program.
			if s.test && (own == s.dir || own == "integration/harness") {
				continue
			}
			if ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s: %s may import %q", s.file, own, s.dir, allowed)
			}
		}
	}
}

// libraries may be imported only in these directories, and below them.
var libraries = map[string][]string{
	"github.com/hashicorp/raft":            {"raftlog"},
	"github.com/cockroachdb/pebble":        {"raftlog"},
	"github.com/go-chi/chi":                {"httpapi"},
	"github.com/alecthomas/kong":           {"cmd"},
	"github.com/magiconair/properties":     {"cmd"},
	"github.com/twmb/franz-go/pkg/kgo":     {"integration", "wire"}, // in tests, see below
	"github.com/twmb/franz-go/pkg/kadm":    {"integration", "wire"},
	"github.com/twmb/franz-go/pkg/kmsg":    {"cmd", "controller", "httpapi", "integration", "wire"},
	"github.com/tidwall/btree":             {"controller/image"},
	"net/http":                             {"httpapi", "integration"},
	"github.com/anishathalye/porcupine":    {"integration"},
	"github.com/prometheus/client_golang/": {"httpapi"},
}

func TestLibrariesStayInTheirPackage(t *testing.T) {
	for _, s := range sources(t) {
		for p := range s.imports() {
			for library, dirs := range libraries {
				if p != library && !strings.HasPrefix(p, strings.TrimSuffix(library, "/")+"/") {
					continue
				}
				if s.test && library == "net/http" {
					continue // a peer to talk to
				}
				if !slices.ContainsFunc(dirs, func(dir string) bool { return s.dir == dir || strings.HasPrefix(s.dir, dir+"/") }) {
					t.Errorf("%s imports %s, which belongs into %q", s.file, p, dirs)
				}
			}
			client := strings.HasSuffix(p, "/kgo") || strings.HasSuffix(p, "/kadm")
			if client && !s.test && !strings.HasPrefix(s.dir, "integration") {
				t.Errorf("%s imports %s: the program itself is no client", s.file, p)
			}
		}
	}
}

// TestDecisionsArePureFunctions: what is decided, and how the image changes, may depend on arguments alone. Else a
// simulation would not be exact, and nodes that replay the same records could come to different images.
func TestDecisionsArePureFunctions(t *testing.T) {
	pure := []string{"controller/configs", "controller/image", "controller/plan", "controller/query"}
	forbidden := []string{"net", "net/http", "os", "os/exec", "sync", "sync/atomic", "context", "log", "log/slog", "crypto/rand", "math/rand"}
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer"}
	for _, s := range sources(t) {
		if s.test || !slices.Contains(pure, s.dir) {
			continue
		}
		imports := s.imports()
		for _, p := range forbidden {
			if _, ok := imports[p]; ok {
				t.Errorf("%s imports %s", s.file, p)
			}
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", s.at(n.Pos()))
			case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
				t.Errorf("%s communicates", s.at(n.Pos()))
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || x.Obj != nil { // a variable may be called time
					break
				}
				if x.Name == imports["time"] && slices.Contains(clock, n.Sel.Name) {
					t.Errorf("%s looks at the clock: time.%s", s.at(n.Pos()), n.Sel.Name)
				}
				// The types and constructors of math/rand are fine; its functions draw from the global source.
				random := x.Name == imports["math/rand/v2"] && imports["math/rand/v2"] != ""
				if random && !strings.HasPrefix(n.Sel.Name, "New") && !slices.Contains([]string{"Rand", "Source", "PCG", "ChaCha8", "Zipf"}, n.Sel.Name) {
					t.Errorf("%s draws from the global random source: rand.%s", s.at(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestOnlyVirtualTimeIsSlept: a test that sleeps is slow on one machine and wrong on another. In a bubble of
// testing/synctest sleeping is exact and costs nothing.
func TestOnlyVirtualTimeIsSlept(t *testing.T) {
	for _, s := range sources(t) {
		imports := s.imports()
		_, virtual := imports["testing/synctest"]
		if virtual && s.test || imports["time"] == "" {
			continue
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := call.X.(*ast.Ident); ok && x.Name == imports["time"] && call.Sel.Name == "Sleep" {
				t.Errorf("%s sleeps: wait for what it is waiting for", s.at(n.Pos()))
			}
			return true
		})
	}
}

func TestPackagesAndExportedNamesAreExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, s := range sources(t) {
		explained[s.dir] = explained[s.dir] || s.tree.Doc != nil
		if s.test || s.tree.Name.Name == "main" {
			continue
		}
		for _, declaration := range s.tree.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && receiverExported(d) {
					t.Errorf("%s: %s has no comment", s.at(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				if d.Doc != nil {
					continue // one comment may speak for a group
				}
				for _, spec := range d.Specs {
					if name := unexplained(spec); name != "" {
						t.Errorf("%s: %s has no comment", s.at(spec.Pos()), name)
					}
				}
			}
		}
	}
	for dir, ok := range explained {
		if !ok {
			t.Errorf("the package %s has no comment", dir)
		}
	}
}

// receiverExported tells whether a function can be seen from outside: not as a method of a type that cannot.
// Methods that every Go programmer knows need no words either.
func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	if slices.Contains([]string{"Error", "String", "Unwrap"}, d.Name.Name) {
		return false
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if x, ok := n.(*ast.Ident); ok && !exported {
			exported = x.IsExported()
			return false
		}
		return true
	})
	return exported
}

// unexplained is the first exported name of a declaration without a comment.
func unexplained(spec ast.Spec) string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
			return s.Name.Name
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil {
				return name.Name
			}
		}
	}
	return ""
}

// TestFilesAreReadable: a file has one job and fits into a head; what is left to do is an issue, not a comment; and
// nothing in the sources depends on the machine they were written on.
func TestFilesAreReadable(t *testing.T) {
	const most = 650
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}
	places := []string{"/ro" + "ot/", "/wo" + "rk/", "/home" + "/"}
	for _, s := range sources(t) {
		if lines := bytes.Count(s.text, []byte("\n")); lines > most {
			t.Errorf("%s has %d lines: is its job still one sentence?", s.file, lines)
		}
		scanner := bufio.NewScanner(bytes.NewReader(s.text))
		scanner.Buffer(nil, 1<<20)
		for n := 1; scanner.Scan(); n++ {
			for _, mark := range append(slices.Clone(marks), places...) {
				if strings.Contains(scanner.Text(), mark) {
					t.Errorf("%s:%d has %q", s.file, n, mark)
				}
			}
		}
		if err := scanner.Err(); err != nil {
			t.Errorf("%s: %v", s.file, err)
		}
	}
}
