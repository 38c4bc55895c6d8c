package settings

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxPropertiesBytes bounds a property file; real ones are far smaller.
const maxPropertiesBytes = 1 << 20

// ErrPropertiesTooLarge is returned for a property file of more than a mebibyte.
var ErrPropertiesTooLarge = errors.New("settings: property file is larger than 1 MiB")

// ParseProperties reads Java's .properties format as far as property files of brokers use it: comments
// after # and !, key=value, key:value and key value, lines continued by a backslash, and the escapes
// \t \n \r \f \uXXXX and \ before anything else. Of a key that stands twice the last counts. Text is UTF-8. The name of
// the file is for saying where a value comes from.
func ParseProperties(name string, r io.Reader) (Source, error) {
	source := Source{Values: Values{}, From: map[string]string{}}
	add := func(logical string, line int) error {
		key, value, err := splitProperty(logical)
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", name, line, err)
		}
		source.Values[key], source.From[key] = value, fmt.Sprintf("%s line %d", name, line)
		return nil
	}
	lines := bufio.NewScanner(io.LimitReader(r, maxPropertiesBytes+1))
	lines.Buffer(nil, maxPropertiesBytes+2)
	size, number, first := 0, 0, 0 // first is the line on which the logical one begins
	logical := ""
	continued := false
	for lines.Scan() {
		number++
		if size += len(lines.Bytes()) + 1; size > maxPropertiesBytes {
			return Source{}, fmt.Errorf("%s: %w", name, ErrPropertiesTooLarge)
		}
		line := strings.TrimLeft(strings.TrimSuffix(lines.Text(), "\r"), " \t\f")
		if !continued && (line == "" || line[0] == '#' || line[0] == '!') {
			continue
		}
		if !continued {
			first = number
		}
		if continued = endsInOddBackslashes(line); continued {
			logical += line[:len(line)-1]
			continue
		}
		if err := add(logical+line, first); err != nil {
			return Source{}, err
		}
		logical = ""
	}
	if err := lines.Err(); err != nil {
		return Source{}, fmt.Errorf("%s: %w", name, err)
	}
	if logical != "" {
		if err := add(logical, first); err != nil {
			return Source{}, err
		}
	}
	return source, nil
}

func endsInOddBackslashes(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty splits one logical line at its first separator that is not escaped.
func splitProperty(line string) (key, value string, err error) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=: \t\f", rune(line[end])) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	if key, err = unescape(line[:end]); err != nil {
		return "", "", err
	}
	value, err = unescape(rest)
	return key, value, err
}

func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			if text[i] != '\\' {
				out.WriteByte(text[i])
			}
			continue
		}
		i++
		switch text[i] {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 'f':
			out.WriteByte('\f')
		case 'u':
			if i+4 >= len(text) {
				return "", errors.New(`\u needs four hexadecimal digits`)
			}
			n, err := strconv.ParseUint(text[i+1:i+5], 16, 16)
			if err != nil {
				return "", errors.New(`\u needs four hexadecimal digits`)
			}
			out.WriteRune(rune(n))
			i += 4
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String(), nil
}
