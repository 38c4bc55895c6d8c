package once

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestSettingsThatActAreRead finds settings whose table says that they act while nothing asks for them: a broker
// setting by its name, a topic's by the field that the name fills, and a broker setting that gives a topic's its
// default by that one. It also finds those that are asked for while their table says that they have no effect.
func TestSettingsThatActAreRead(t *testing.T) {
	var readers, resolving string // everything but package settings; package settings but its tables
	tables := map[string]string{}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "compat" || strings.HasPrefix(name, ".") && name != "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(name)
		switch {
		case strings.HasPrefix(name, "settings/table_"):
			tables[name] = string(b)
		case strings.HasPrefix(name, "settings/"):
			resolving += string(b)
		default:
			readers += string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+): +[^\n]*\bv\.\w+\("([a-z0-9.]+)"\)`).FindAllStringSubmatch(resolving, -1) {
		fields[m[2]] = m[1]
	}
	read := func(name string) bool {
		if field, ok := fields[name]; ok {
			return strings.Contains(readers, "."+field)
		}
		return strings.Contains(readers, `"`+name+`"`) || strings.Contains(resolving, `"`+name+`"`)
	}
	defaults := map[string]string{} // broker's name → topic's
	for _, m := range regexp.MustCompile(`\{"([a-z0-9.]+)", \[\]synonym\{(.*)\}\}`).FindAllStringSubmatch(tables["settings/table_topic.go"], -1) {
		for _, s := range regexp.MustCompile(`"([a-z0-9.]+)"`).FindAllStringSubmatch(m[2], -1) {
			defaults[s[1]] = m[1]
		}
	}
	acting := 0
	for table, text := range tables {
		for _, m := range regexp.MustCompile(`(?m)^\t\{"([a-z0-9._]+)", .*, Acts, `).FindAllStringSubmatch(text, -1) {
			acting++
			name := m[1]
			if topic, ok := defaults[name]; !read(name) && (!ok || !read(topic)) {
				t.Errorf("%s: %s is said to act, and nothing reads it", table, name)
			}
		}
	}
	for table, text := range tables {
		for _, m := range regexp.MustCompile(`(?m)^\t\{"([a-z0-9._]+)", .*, (?:Kept|Ignored), `).FindAllStringSubmatch(text, -1) {
			name := m[1]
			field, ok := fields[name]
			if !ok {
				field, ok = fields[defaults[name]]
			}
			if strings.Contains(readers, `"`+name+`"`) || ok && regexp.MustCompile(`\.`+field+`\b`).MatchString(readers) {
				t.Errorf("%s: %s is said to have no effect, and is read", table, name)
			}
		}
	}
	if acting < 80 || len(fields) < 20 || len(defaults) < 20 {
		t.Fatalf("%d acting settings, %d fields, %d defaults: the tables are not understood", acting, len(fields), len(defaults))
	}
}
