// Package docs_test keeps docs/contract.md true: every number that the code names is there, and every test it names exists.
package docs_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the column of tests in contract.md anew")

const contract = "contract.md"

// row is one line of the contract.
type row struct {
	number, rule, here string
	tests              []string // as package.Test
}

var rowPattern = regexp.MustCompile(`^\| (C-\d{3}) \| (.+?) \| (.+?) \|\s*(.*?)\s*\|$`)

func readContract(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		m := rowPattern.FindStringSubmatch(line)
		if m == nil {
			if strings.HasPrefix(line, "| C-") {
				t.Errorf("not a row of four columns: %s", line)
			}
			continue
		}
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s has two rows", m[1])
		}
		rows[m[1]] = row{m[1], m[2], m[3], strings.Fields(strings.NewReplacer("`", "", ",", " ").Replace(m[4]))}
	}
	if len(rows) == 0 {
		t.Fatal("no rows found")
	}
	return rows
}

func TestEveryRowSaysHowTheRuleIsMet(t *testing.T) {
	t.Parallel()
	for number, r := range readContract(t) {
		if !regexp.MustCompile(`^(as is|differs: .+|not yet|left out)`).MatchString(r.here) {
			t.Errorf("%s: %q does not begin with one of: as is, differs: why, not yet, left out", number, r.here)
		}
	}
}

func TestEveryNumberInTheTreeHasARow(t *testing.T) {
	t.Parallel()
	rows := readContract(t)
	for file, text := range sources(t) {
		for number := range numbersIn(text) {
			if _, ok := rows[number]; !ok {
				t.Errorf("%s names %s, which the contract does not have", file, number)
			}
		}
	}
}

func TestEveryFaultThatTheTreeNamesHasARow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	fault := regexp.MustCompile(`\bB-\d{2}\b`)
	for file, source := range sources(t) {
		for _, number := range fault.FindAllString(source, -1) {
			if !strings.Contains(string(text), "| "+number+" |") {
				t.Errorf("%s names %s, which the contract does not have", file, number)
			}
		}
	}
}

func TestEveryTestThatARowNamesExists(t *testing.T) {
	covering := coveringTests(t)
	if *update {
		rewrite(t, covering)
	}
	all := map[string]bool{}
	for _, tests := range covering.of {
		for _, name := range tests {
			all[name] = true
		}
	}
	for _, name := range covering.all {
		all[name] = true
	}
	for number, r := range readContract(t) {
		for _, name := range r.tests {
			if !all[name] {
				t.Errorf("%s: there is no test %s; `go test ./docs -update` writes the column anew", number, name)
			}
		}
	}
}

// covered are the tests by contract number, and all there are.
type covered struct {
	of  map[string][]string
	all []string
}

// coveringTests finds the tests of the tree and the numbers that their name, comment or body mentions. Parts of
// the conformance suite, which are functions called conform…, count for the tests that use them.
func coveringTests(t *testing.T) covered {
	t.Helper()
	c := covered{of: map[string][]string{}}
	parts := conformanceParts(t)
	for file, text := range sources(t) {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, file, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !regexp.MustCompile(`^(Test|Fuzz)[A-Z0-9]`).MatchString(fn.Name.Name) {
				continue
			}
			begin := fn.Pos()
			if fn.Doc != nil {
				begin = fn.Doc.Pos()
			}
			name := filepath.Base(filepath.Dir(file)) + "." + fn.Name.Name
			c.all = append(c.all, name)
			whole := withParts(text[files.Position(begin).Offset:files.Position(fn.End()).Offset], maps.Clone(parts))
			for number := range numbersIn(whole) {
				c.of[number] = append(c.of[number], name)
			}
		}
	}
	for _, tests := range c.of {
		slices.Sort(tests)
	}
	return c
}

var partPattern = regexp.MustCompile(`\bconform[A-Z]\w*`)

// conformanceParts are the texts of the functions called conform… of the conformance suite.
func conformanceParts(t *testing.T) map[string]string {
	t.Helper()
	parts := map[string]string{}
	for file, text := range conformanceTests(t) {
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, file, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && partPattern.MatchString(fn.Name.Name) {
				parts[fn.Name.Name] = text[files.Position(fn.Pos()).Offset:files.Position(fn.End()).Offset]
			}
		}
	}
	return parts
}

// withParts is a text and those of the parts that it names, and so on. parts is used up.
func withParts(text string, parts map[string]string) string {
	whole := text
	for _, name := range partPattern.FindAllString(text, -1) {
		if part, ok := parts[name]; ok {
			delete(parts, name)
			whole += withParts(part, parts)
		}
	}
	return whole
}

// conformanceTests are the texts of the test files of the conformance suite.
func conformanceTests(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "pkg", "operator", "conformance*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no conformance suite: %v", err)
	}
	found := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[file] = string(text)
	}
	return found
}

// elsewhere are numbers that no hook can show, and what does.
var elsewhere = map[string]string{
	"C-115": "what the image holds",
	"C-116": "the shell library, tested by the hooks in deploy/framework",
}

// Each number from C-001 to C-258 is run by a hook of testdata/conformance, or it says why it is met in another way.
func TestEveryNumberOfHooksIsInTheConformanceSuite(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, text := range conformanceTests(t) {
		maps.Copy(covered, numbersIn(text))
	}
	for number, r := range readContract(t) {
		excused := strings.HasPrefix(r.here, "differs") || strings.HasPrefix(r.here, "left out") || elsewhere[number] != ""
		if number <= "C-258" && !covered[number] && !excused {
			t.Errorf("%s (%s) is %q, but no test of the conformance suite names it", number, r.rule, r.here)
		}
	}
}

// Each number from C-280 is met as it is by a test that names it, or says why it is met in another way.
func TestEveryNumberOfModulesIsCovered(t *testing.T) {
	t.Parallel()
	covering := coveringTests(t)
	for number, r := range readContract(t) {
		excused := strings.HasPrefix(r.here, "differs") || strings.HasPrefix(r.here, "left out") || elsewhere[number] != ""
		if number >= "C-280" && len(covering.of[number]) == 0 && !excused {
			t.Errorf("%s (%s) is %q, but no test names it", number, r.rule, r.here)
		}
	}
}

// Each hook of testdata/conformance begins with the numbers that it is for, and a test names each of them.
func TestEveryHookOfTheConformanceSuiteSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	for _, text := range conformanceTests(t) {
		maps.Copy(tests, numbersIn(text))
	}
	count := 0
	err := filepath.WalkDir(filepath.Join("..", "testdata", "conformance"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil || info.Mode()&0o111 == 0 {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count++
		lines := strings.SplitN(string(text), "\n", 3)
		if len(lines) < 3 || !strings.HasPrefix(lines[1], "# C-") {
			t.Errorf("%s: its second line does not begin with the numbers that it is for", path)
			return nil
		}
		for number := range numbersIn(lines[1]) {
			if !isNumber[number] || !tests[number] {
				t.Errorf("%s is for %s, which no test of the conformance suite names", path, number)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Error("no hooks found")
	}
}

var (
	numberPattern = regexp.MustCompile(`C-(\d{3})`)
	rangePattern  = regexp.MustCompile(`C-(\d{3})(?: ?…\ ?| to )C-(\d{3})`)
	// In the name of a test a number has no hyphen.
	namePattern = regexp.MustCompile(`func (?:Test|Fuzz)\w*?C(\d{3})\w*`)
)

// numbersIn are the contract numbers that a text mentions, ranges included.
func numbersIn(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range append(numberPattern.FindAllStringSubmatch(text, -1), namePattern.FindAllStringSubmatch(text, -1)...) {
		found["C-"+m[1]] = true
	}
	for _, m := range rangePattern.FindAllStringSubmatch(text, -1) {
		first, _ := strconv.Atoi(m[1])
		last, _ := strconv.Atoi(m[2])
		for n := first; n <= last; n++ {
			if number := fmt.Sprintf("C-%03d", n); isNumber[number] {
				found[number] = true
			}
		}
	}
	return found
}

// isNumber holds the numbers that exist: the contract leaves gaps, also within ranges.
var isNumber = func() map[string]bool {
	text, err := os.ReadFile(contract)
	if err != nil {
		return nil
	}
	numbers := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if m := rowPattern.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			numbers[m[1]] = true
		}
	}
	return numbers
}()

// sources are the Go files of the tree, but for this one.
func sources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range []string{"cmd", "deploy", "global-hooks", "modules", "pkg"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			found[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// maxNamed keeps a row readable where a number is mentioned all over the tree.
const maxNamed = 3

func rewrite(t *testing.T, c covered) {
	t.Helper()
	text, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		m := rowPattern.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		tests := slices.Compact(c.of[m[1]])
		// What runs hooks against a cluster says most.
		slices.SortStableFunc(tests, func(a, b string) int {
			return strings.Count(b, ".TestConformance") - strings.Count(a, ".TestConformance")
		})
		column := ""
		for _, name := range tests[:min(len(tests), maxNamed)] {
			column += "`" + name + "`, "
		}
		column = strings.TrimSuffix(column, ", ")
		lines[i] = strings.TrimRight(fmt.Sprintf("| %s | %s | %s | %s", m[1], m[2], m[3], column), " ") + " |"
	}
	if err := os.WriteFile(contract, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNumbersAreFoundInTextAndInRanges(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"see C-001":                      {"C-001"},
		"(C-108, C-321)":                 {"C-108", "C-321"},
		"C-001 … C-005":                  {"C-001", "C-002", "C-003", "C-004", "C-005"},
		"C-010…C-020 leaves out no more": {"C-010", "C-011", "C-020"},
		"C-280 to C-282":                 {"C-280", "C-281", "C-282"},
		"func TestC335Precedence(t":      {"C-335"},
		"nothing":                        nil,
	} {
		if got := slices.Sorted(maps.Keys(numbersIn(text))); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
