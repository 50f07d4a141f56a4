//go:build js

package idblog

import "syscall/js"

// api is what a database uses of JavaScript, looked up once: a name that crosses the border costs 3.5 us, and a commit needs
// some thirty. Methods take their object as the first argument.
type api struct {
	transaction, objectStore, commit, abort js.Value
	add, put, remove                        js.Value
	get, getKey, getAll, getAllKeys         js.Value

	bound, lowerBound         js.Value // of IDBKeyRange
	arrayOf                   js.Value
	flat, float64s, uint8s    js.Value // Array.prototype.flat, Float64Array.from, Uint8Array
	getProperty, setProperty  js.Value // Reflect.get, Reflect.set
	target, result, kind, err js.Value // names of properties
	success, complete         js.Value // names of events
	onSuccess, onComplete     js.Value
	onAbort                   js.Value
}

func newAPI() *api {
	global := js.Global()
	method := func(class, name string) js.Value {
		fn := global.Get(class).Get("prototype").Get(name)
		if !fn.Truthy() {
			return fn
		}
		return fn.Get("call").Call("bind", fn)
	}
	static := func(class, name string) js.Value { return global.Get(class).Get(name).Call("bind", global.Get(class)) }
	word := func(s string) js.Value { return js.ValueOf(s) }
	return &api{
		transaction: method("IDBDatabase", "transaction"),
		objectStore: method("IDBTransaction", "objectStore"),
		commit:      method("IDBTransaction", "commit"),
		abort:       method("IDBTransaction", "abort"),
		add:         method("IDBObjectStore", "add"),
		put:         method("IDBObjectStore", "put"),
		remove:      method("IDBObjectStore", "delete"),
		get:         method("IDBObjectStore", "get"),
		getKey:      method("IDBObjectStore", "getKey"),
		getAll:      method("IDBObjectStore", "getAll"),
		getAllKeys:  method("IDBObjectStore", "getAllKeys"),
		bound:       static("IDBKeyRange", "bound"),
		lowerBound:  static("IDBKeyRange", "lowerBound"),
		arrayOf:     static("Array", "of"),
		flat:        method("Array", "flat"),
		float64s:    static("Float64Array", "from"),
		uint8s:      global.Get("Uint8Array"),
		getProperty: static("Reflect", "get"),
		setProperty: static("Reflect", "set"),
		target:      word("target"), result: word("result"), kind: word("type"), err: word("error"),
		success: word("success"), complete: word("complete"),
		onSuccess: word("onsuccess"), onComplete: word("oncomplete"), onAbort: word("onabort"),
	}
}

// words are names that belong to one log.
type words struct {
	api             *api
	name            js.Value
	lowest, highest js.Value // keys below and above all records of the log
	marks           js.Value // what the keys of marks begin with
}

func (a *api) words(log string) words {
	name := js.ValueOf(log)
	lowest := a.arrayOf.Invoke(name)
	return words{api: a, name: name, lowest: lowest, highest: a.arrayOf.Invoke(name, a.arrayOf.Invoke()), marks: lowest}
}
