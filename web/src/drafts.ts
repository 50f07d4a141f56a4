import { ShoalError } from './errors.js';
import { keyOf, type CollectionSchema } from './schema.js';
import type { Validator } from './validator.js';

type Content = Record<string, unknown>;

/** @internal A document that is to be written: its primary key and its JSON text. */
export interface Draft {
	readonly id: string;
	readonly text: string;
}

/** @internal Makes drafts of what applications want to write to a collection. */
export class Drafts {
	readonly key: string;
	readonly validates: boolean;
	readonly #schema: CollectionSchema;
	readonly #defaults: readonly (readonly [field: string, value: unknown])[];
	readonly #problems: ReturnType<Validator> | undefined;

	constructor(schema: CollectionSchema, validator: Validator | undefined) {
		this.key = keyOf(schema);
		this.#schema = schema;
		this.#defaults = Object.entries(schema.properties).flatMap(([field, { default: value }]) => value === undefined ? [] : [[field, value] as const]);
		this.#problems = validator?.(schema);
		this.validates = validator !== undefined;
	}

	/** Makes a draft of a document that comes to be: with defaults and a composite primary key. */
	fresh(document: unknown, name: string): Draft {
		const { primaryKey } = this.#schema;
		let content = contentOf(document, name);
		const missing = this.#defaults.filter(([field]) => content[field] === undefined);
		if (missing.length > 0) {
			content = { ...content, ...Object.fromEntries(missing) };
		}
		if (typeof primaryKey === 'object') {
			const { key, fields, separator } = primaryKey;
			const id = fields.map((path) => partAt(content, path, name)).join(separator);
			if (content[key] !== undefined && content[key] !== id) {
				throw new ShoalError('invalid', `${name}: the primary key, field ${key}, is ${JSON.stringify(content[key])}, and its parts make ${JSON.stringify(id)}`,
					{ documentId: id });
			}
			content = { ...content, [key]: id };
		}
		return this.#draft(content, name, true);
	}

	/** Makes a draft of a later version. */
	version(document: unknown, name: string, validate = true): Draft {
		return this.#draft(contentOf(document, name), name, validate);
	}

	#draft(content: Content, name: string, validate: boolean): Draft {
		const id = content[this.key];
		// The core takes our word for the primary key, so the text must have it.
		if (typeof id !== 'string' || !Object.prototype.propertyIsEnumerable.call(content, this.key)) {
			throw new TypeError(`${name} must have its primary key, the field ${this.key}, as a string`);
		}
		if (!isWellFormed(id)) {
			throw new TypeError(`${name} has a primary key with half a surrogate pair`);
		}
		const text = textOf(content, name);
		if (validate && this.#problems) {
			this.#check(id, content, text);
		}
		return { id, text };
	}

	#check(id: string, content: Content, text: string): void {
		// JSON leaves out what is undefined, and makes something else of what is no plain value.
		const problems = this.#problems?.(isPlain(content) ? content : JSON.parse(text)) ?? [];
		if (problems.length > 0) {
			const said = problems.map(({ field, rule, message }) => `${field ? `${field}: ` : ''}${message} (${rule})`).join(' ');
			throw new ShoalError('invalid', `document ${JSON.stringify(id)} does not follow the schema: ${said}`, { documentId: id, problems });
		}
	}
}

/** Returns the plain content of a document. */
function contentOf(document: unknown, name: string): Content {
	if (typeof document !== 'object' || document === null || Array.isArray(document)) {
		throw new TypeError(`${name} must be an object`);
	}
	const { toJSON } = document as { toJSON?: unknown };
	const content: unknown = typeof toJSON === 'function' ? toJSON.call(document) : document;
	if (typeof content !== 'object' || content === null) {
		throw new TypeError(`${name} must be an object, and is none as JSON`);
	}
	return content as Content;
}

/** @internal Returns the JSON text of an object, whose toJSON may make anything of it. */
export function textOf(object: object, name: string): string {
	const text: string | undefined = JSON.stringify(object);
	if (!text?.startsWith('{')) {
		throw new TypeError(`${name} must be an object, and is none as JSON`);
	}
	return text;
}

function partAt(content: Content, path: string, name: string): string | number | boolean {
	let value: unknown = content;
	for (const part of path.split('.')) {
		value = typeof value === 'object' && value !== null ? (value as Content)[part] : undefined;
	}
	if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
		throw new TypeError(`${name} must have the field ${path}, a part of its primary key, as a string, number or boolean`);
	}
	return value;
}

/** Reports whether a value has nothing in it but what JSON keeps as it is. */
function isPlain(value: unknown): boolean {
	switch (typeof value) {
		case 'string':
		case 'boolean':
			return true;
		case 'number':
			return Number.isFinite(value);
		case 'object':
			if (value === null) {
				return true;
			}
			if (Array.isArray(value)) {
				return value.every(isPlain);
			}
			return Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isPlain);
		default:
			return false;
	}
}

function isWellFormed(text: string): boolean {
	const { isWellFormed: builtIn } = text as { isWellFormed?(): boolean };
	return builtIn ? builtIn.call(text) : !/\p{Surrogate}/u.test(text);
}
