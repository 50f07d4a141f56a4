package jsregexp

import (
	"fmt"
	"regexp/syntax"
	"strings"
)

// class translates a character class; its [ has been taken.
func (t *translator) class() error {
	negated := t.accept("^")
	var set strings.Builder
	for {
		if !t.more() {
			return fmt.Errorf("has a class, [...], that does not end")
		}
		if t.accept("]") {
			break
		}
		if err := t.classItem(&set); err != nil {
			return err
		}
	}
	switch {
	case set.Len() > 0 && negated:
		t.out.WriteString("[^" + set.String() + "]")
	case set.Len() > 0:
		t.out.WriteString("[" + set.String() + "]")
	case negated:
		t.out.WriteString(`(?s:.)`) // [^] is every character
	default:
		t.out.WriteString(`[^\x00-\x{10FFFF}]`) // [] is none
	}
	return nil
}

// classItem translates a character, a set or a range.
func (t *translator) classItem(set *strings.Builder) error {
	lowSet, low, err := t.classAtom()
	if err != nil {
		return err
	}
	if t.pos+1 >= len(t.in) || t.in[t.pos] != '-' || t.in[t.pos+1] == ']' {
		writeClassAtom(set, lowSet, low)
		return nil
	}
	t.pos++
	highSet, high, err := t.classAtom()
	switch {
	case err != nil:
		return err
	case lowSet == "" && highSet == "":
		if low > high {
			return fmt.Errorf("has a class with the range %c-%c, whose ends are in the wrong order", low, high)
		}
		fmt.Fprintf(set, `\x{%X}-\x{%X}`, low, high)
	default: // Annex B: beside a set, - stands for itself
		writeClassAtom(set, lowSet, low)
		set.WriteString(`\-`)
		writeClassAtom(set, highSet, high)
	}
	return nil
}

func writeClassAtom(set *strings.Builder, atomSet string, char rune) {
	if atomSet != "" {
		set.WriteString(atomSet)
	} else {
		fmt.Fprintf(set, `\x{%X}`, char)
	}
}

func (t *translator) classAtom() (set string, char rune, err error) {
	if !t.more() {
		return "", 0, fmt.Errorf("has a class, [...], that does not end")
	}
	c := t.in[t.pos]
	t.pos++
	switch {
	case c != '\\':
		return "", c, nil
	case t.accept("b"):
		return "", '\b', nil
	case !t.more():
		return "", 0, fmt.Errorf("ends with a backslash")
	}
	return t.escaped()
}

// property translates \p{...} and \P{...}: general categories and scripts, which Go knows by the same names.
func (t *translator) property(c rune) (string, error) {
	name, ok := t.propertyName()
	if !ok || !t.unicode {
		return "", fmt.Errorf(`has a \%c that needs {...} and the flag u in $options`, c)
	}
	if key, val, found := strings.Cut(name, "="); found {
		switch key {
		case "Script", "sc", "General_Category", "gc":
			name = val
		default:
			name = ""
		}
	}
	escape := `\` + string(c) + "{" + name + "}"
	if _, err := syntax.Parse(escape, syntax.Perl); err != nil {
		return "", fmt.Errorf(`has a \%c{...} that is not supported; allowed are general categories, such as \p{L} and \p{Lu}, and \p{Script=Greek}`, c)
	}
	return escape, nil
}

func (t *translator) propertyName() (name string, ok bool) {
	if !t.accept("{") {
		return "", false
	}
	start := t.pos
	for t.more() && t.in[t.pos] != '}' {
		t.pos++
	}
	name = string(t.in[start:t.pos])
	return name, t.accept("}")
}
