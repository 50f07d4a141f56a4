import { Validator as Checker, type OutputUnit, type Schema } from '@cfworker/json-schema';
import type { CollectionSchema } from './schema.js';
import type { ValidationProblem, Validator } from './validator.js';

const drafts = { '04': '4', '06': '7', '07': '7', '2019-09': '2019-09', '2020-12': '2020-12' } as const;

/** Keywords of which the library reports, beside what is wrong within, that something is. */
const outer = new Set(['properties', 'patternProperties', 'items', 'additionalItems', 'prefixItems', 'allOf', '$ref', 'false', 'dependentSchemas', 'if', 'then', 'else']);

/**
 * Checks documents against JSON schemas: draft 7, or the one that `$schema` names. As in RxDB, fields that the schema does not list are not
 * allowed unless it has `additionalProperties`. It works under a Content-Security-Policy without `unsafe-eval`.
 */
export const jsonSchemaValidator: Validator = (schema: CollectionSchema) => {
	const text = typeof schema['$schema'] === 'string' ? schema['$schema'] : '';
	const draft = drafts[/draft[/-](0[467]|20\d\d-\d\d)/.exec(text)?.[1] as keyof typeof drafts] ?? '7';
	const whole = { additionalProperties: false, ...schema } as unknown as Schema;
	const quick = new Checker(whole, draft, true);
	let thorough: Checker | undefined;
	return (document) => {
		if (quick.validate(document).valid) {
			return [];
		}
		thorough ??= new Checker(whole, draft, false);
		const { errors } = thorough.validate(document);
		const inner = errors.filter(({ keyword }) => !outer.has(keyword));
		return (inner.length > 0 ? inner : errors).map(problem);
	};
};

function problem({ instanceLocation, keyword, error }: OutputUnit): ValidationProblem {
	const field = instanceLocation.split('/').slice(1).map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')).join('.');
	return { field, rule: keyword, message: error };
}
