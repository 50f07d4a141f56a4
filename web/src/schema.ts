/** A JSON schema (https://json-schema.org) of a document or of a part of one. */
export interface JsonSchema {
	readonly type?: string | readonly string[];
	readonly properties?: { readonly [name: string]: JsonSchema };
	readonly required?: readonly string[];
	readonly items?: JsonSchema | readonly JsonSchema[];
	readonly enum?: readonly unknown[];
	readonly const?: unknown;
	readonly additionalProperties?: boolean | JsonSchema;
	readonly oneOf?: readonly JsonSchema[];
	readonly anyOf?: readonly JsonSchema[];
	readonly [keyword: string]: unknown;
}

/** A primary key that is made of other fields, which must then be there and cannot change. */
export interface CompositePrimaryKey {
	/** The field that holds it: a string. It may be left out of what is inserted. */
	readonly key: string;
	/** Paths of the fields, in their order. */
	readonly fields: readonly string[];
	readonly separator: string;
}

/** The schema of a collection, in the form that RxDB has. */
export interface CollectionSchema extends JsonSchema {
	/** Counts up with each change of the schema. */
	readonly version: number;
	/** The top-level field, a string, that names a document. */
	readonly primaryKey: string | CompositePrimaryKey;
	readonly type: 'object';
	readonly properties: { readonly [name: string]: JsonSchema };
	readonly indexes?: readonly (string | readonly string[])[];
}

declare const documentType: unique symbol;

/** A schema that says by hand what its documents are: `const schema: TypedSchema<Todo> = {…}`. */
export interface TypedSchema<T> extends CollectionSchema {
	readonly [documentType]?: T;
}

/**
 * The type of the documents of a schema. It follows from the schema's text, which must not be widened: write it in the call
 * of `addCollections`, or mark it `as const`.
 */
export type DocumentOf<S> = typeof documentType extends keyof S
	? S extends { readonly [documentType]?: infer T } ? T : never
	: string extends PrimaryOf<S> ? any
	: ObjectOf<S, PrimaryOf<S>>;

type PrimaryOf<S> = S extends { readonly primaryKey: infer K extends string } ? K
	: S extends { readonly primaryKey: { readonly key: infer K extends string } } ? K : never;

type Of<S> =
	S extends { readonly const: infer C } ? C
	: S extends { readonly enum: readonly (infer E)[] } ? E
	: S extends { readonly type: infer N } ? N extends readonly (infer M)[] ? Named<M, S> : Named<N, S>
	: S extends { readonly oneOf: readonly (infer O)[] } ? Of<O>
	: S extends { readonly anyOf: readonly (infer A)[] } ? Of<A>
	: S extends { readonly properties: unknown } ? ObjectOf<S, never>
	: any;

type Named<N, S> = N extends 'string' ? string
	: N extends 'number' | 'integer' ? number
	: N extends 'boolean' ? boolean
	: N extends 'null' ? null
	: N extends 'array' ? ArrayOf<S>
	: N extends 'object' ? ObjectOf<S, never>
	: any;

type ArrayOf<S> = S extends { readonly items: infer I }
	? I extends readonly unknown[] ? { -readonly [K in keyof I]: Of<I[K]> } : Of<I>[]
	: any[];

type RequiredOf<S> = S extends { readonly required: readonly (infer R)[] } ? R : never;

type ObjectOf<S, Primary> = S extends { readonly properties: infer P }
	? Flat<
		& { -readonly [K in keyof P as K extends RequiredOf<S> | Primary ? K : never]: Of<P[K]> }
		& { -readonly [K in keyof P as K extends RequiredOf<S> | Primary ? never : K]?: Of<P[K]> }
		& (S extends { readonly additionalProperties: true } ? { [name: string]: any } : unknown)
	>
	: S extends { readonly additionalProperties: infer A extends JsonSchema } ? { [name: string]: Of<A> }
	: { [name: string]: any };

type Flat<T> = { [K in keyof T]: T[K] };

/** T with everything in it read-only: what is shared must not be changed. */
export type DeepReadonly<T> = T extends (infer E)[] ? readonly DeepReadonly<E>[]
	: T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
	: T;

/** @internal Returns the field with the primary key. */
export function keyOf({ primaryKey }: CollectionSchema): string {
	return typeof primaryKey === 'string' ? primaryKey : primaryKey.key;
}

/** @internal Returns the top-level fields that cannot change once a document was inserted. */
export function finalFields({ primaryKey, properties }: CollectionSchema): string[] {
	const final = Object.keys(properties).filter((name) => properties[name]?.['final'] === true);
	const parts = typeof primaryKey === 'string' ? [] : primaryKey.fields.map((path) => path.split('.')[0] as string);
	return [...new Set([...final, ...parts])];
}
