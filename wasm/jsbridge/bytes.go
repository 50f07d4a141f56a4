//go:build js

package jsbridge

import "syscall/js"

// Bytes returns a copy of the bytes of an ArrayBuffer, or of a view of one, of any realm.
func Bytes(v js.Value) ([]byte, error) {
	array, err := view(v)
	if err != nil {
		return nil, err
	}
	data := make([]byte, array.Get("byteLength").Int())
	js.CopyBytesToGo(data, array)
	return data, nil
}

// view returns a Uint8Array of this realm over the bytes of v: js.CopyBytesToGo takes no other.
func view(v js.Value) (js.Value, error) {
	uint8Array := js.Global().Get("Uint8Array")
	if v.Type() != js.TypeObject {
		return js.Value{}, TypeError("bytes are needed, as an ArrayBuffer or a view of one, got " + v.Type().String())
	}
	if v.InstanceOf(uint8Array) {
		return v, nil
	}
	if js.Global().Get("ArrayBuffer").Call("isView", v).Bool() {
		return uint8Array.New(v.Get("buffer"), v.Get("byteOffset"), v.Get("byteLength")), nil
	}
	// Of the rest, DataView takes buffers only, whatever their realm; Uint8Array would take a list of numbers, too.
	if err := Do(func() { js.Global().Get("DataView").New(v) }); err != nil {
		return js.Value{}, TypeError("bytes are needed, as an ArrayBuffer or a view of one, got an object that is neither")
	}
	return uint8Array.New(v), nil
}

// Uint8Array returns a copy of data.
func Uint8Array(data []byte) js.Value {
	array := js.Global().Get("Uint8Array").New(len(data))
	js.CopyBytesToJS(array, data)
	return array
}
