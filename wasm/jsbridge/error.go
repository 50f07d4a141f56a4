//go:build js

// Package jsbridge holds what Go code at the border to JavaScript needs: promises both ways, errors both ways, callbacks with
// one owner, bytes, and a way to let the page breathe.
//
// Blocking on something that a later event must bring, within a callback, stops the whole program. Callbacks copy what they
// need, hand it over (Queue, a channel with room) and return.
package jsbridge

import (
	"errors"
	"syscall/js"
)

// Error is an error that came from JavaScript.
type Error struct {
	Name    string // "QuotaExceededError"; "" where something was thrown that has no name
	Message string
	Code    string   // of errors that have one as text, as those of Node and this library
	Value   js.Value // what was thrown
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Name == "":
		return e.Message
	case e.Message == "":
		return e.Name
	}
	return e.Name + ": " + e.Message
}

// FromJS makes an error of a value that was thrown or that a promise was rejected with, whatever it is.
func FromJS(v js.Value) error {
	e := &Error{Value: v}
	// Type panics for a BigInt, and Object makes another value of anything that is not an object.
	if !js.Global().Get("Object").Invoke(v).Equal(v) {
		e.Message = js.Global().Call("String", v).String()
		return e
	}
	e.Name, e.Message, e.Code = text(v, "name"), text(v, "message"), text(v, "code")
	if e.Name == "" && e.Message == "" {
		e.Message = "an object that is not an Error was thrown"
	}
	return e
}

// text returns a property if it is a string that can be read.
func text(v js.Value, property string) string {
	got, _ := try(func() string {
		got := get(v, property)
		if !js.Global().Call("String", got).Equal(got) {
			return ""
		}
		return got.String()
	})
	return got
}

func get(v js.Value, property string) js.Value {
	return js.Global().Get("Reflect").Call("get", v, property)
}

// Get returns a property of an object that is not ours. Unlike js.Value.Get, which leaves the program broken when a getter
// throws, it returns what was thrown as an *Error.
func Get(object js.Value, property string) (js.Value, error) {
	return Try(func() js.Value { return get(object, property) })
}

// try is Try without a look into what was thrown: its properties can throw as well.
func try[T any](fn func() T) (result T, thrown *js.Error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case js.Error:
			thrown = &r
		default:
			panic(r)
		}
	}()
	return fn(), nil
}

// Try runs fn and returns what JavaScript throws in it as an *Error. All other panics go on. It catches what is thrown by
// Call, Invoke and New of js.Value; its other methods leave the program broken when they meet a getter or a Proxy that throws.
func Try[T any](fn func() T) (T, error) {
	result, thrown := try(fn)
	if thrown != nil {
		return result, FromJS(thrown.Value)
	}
	return result, nil
}

// Do is Try for what has no result.
func Do(fn func()) error {
	_, err := Try(func() struct{} { fn(); return struct{}{} })
	return err
}

// IsNamed tells whether err is one from JavaScript with that name, like "AbortError".
func IsNamed(err error, name string) bool {
	var e *Error
	return errors.As(err, &e) && e.Name == name
}

// TypeError is an error about an argument that a caller in JavaScript gave. It becomes a TypeError there.
type TypeError string

// Error implements error.
func (e TypeError) Error() string { return string(e) }

// ErrorName is the name of the errors that ToJS makes.
const ErrorName = "ShoalError"

// ToJS makes a JavaScript Error of err, with name ErrorName and that code; of a TypeError it makes a TypeError. Where err came
// from JavaScript, the value that was thrown is its cause.
func ToJS(err error, code string) js.Value {
	var bad TypeError
	if errors.As(err, &bad) {
		return js.Global().Get("TypeError").New(err.Error())
	}
	var options []any
	var from *Error
	if errors.As(err, &from) {
		cause := js.Global().Get("Object").New()
		cause.Set("cause", from.Value)
		options = []any{cause}
	}
	e := js.Global().Get("Error").New(append([]any{err.Error()}, options...)...)
	e.Set("name", ErrorName)
	e.Set("code", code)
	return e
}
