/** wasm_exec.js of the Go toolchain that compiled shoal.wasm, as build.mjs wraps it. */
declare module 'go:wasm_exec' {
	export interface Go {
		readonly importObject: WebAssembly.Imports;
		exit: (code: number) => void;
		/** Lets the program go on with what a callback has brought; the callbacks look it up here. */
		_resume(): void;
		run(instance: WebAssembly.Instance): Promise<void>;
	}
	/** Runs the script, which writes through fs, and returns the class that it makes. */
	export default function load(fs: object): new () => Go;
}
