import type { CollectionSchema } from './schema.js';

/** One thing that is wrong with a document. */
export interface ValidationProblem {
	/** Path of the field, with dots; empty for the document itself. */
	readonly field: string;
	/** Keyword of the schema: `type`, `required`, `maxLength`… */
	readonly rule: string;
	readonly message: string;
}

/**
 * Compiles a schema into a function that returns what is wrong with a document: nothing where it is right. `shoal/validate` has one; any
 * other library can be put into this form.
 */
export type Validator = (schema: CollectionSchema) => (document: any) => readonly ValidationProblem[];
