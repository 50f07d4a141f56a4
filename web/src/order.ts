import type { Document } from './document.js';
import type { Change } from './feed.js';

/**
 * @internal Whether a comes before b in the order of their UTF-8, which is the core's. It differs from that of JavaScript's < where one
 * has a character beyond U+FFFF and the other one of U+E000 to U+FFFF.
 */
export function precedes(a: string, b: string): boolean {
	const length = Math.min(a.length, b.length);
	for (let i = 0; i < length; i++) {
		const x = a.charCodeAt(i);
		const y = b.charCodeAt(i);
		if (x !== y) {
			return x >= 0xd800 && y >= 0xd800 ? isSurrogate(x) === isSurrogate(y) ? x < y : isSurrogate(y) : x < y;
		}
	}
	return a.length < b.length;
}

function isSurrogate(unit: number): boolean {
	return unit <= 0xdfff;
}

/** @internal Returns documents, which are in the order of their primary keys, as they are after changes. */
export function after<T>(documents: Document<T>[], changes: readonly Change<T>[]): Document<T>[] {
	const next = documents.slice();
	const added = new Map<string, Document<T>>();
	const removed = new Set<number>();
	let changed = false;
	for (const { operation, document } of changes) {
		const i = place(documents, document.primary);
		const there = documents[i]?.primary === document.primary;
		if (operation === 'DELETE') {
			changed = added.delete(document.primary) || changed;
			if (there) {
				changed = true;
				removed.add(i);
			}
		} else if (there) {
			changed = changed || next[i] !== document || removed.has(i);
			removed.delete(i);
			next[i] = document;
		} else {
			changed = true;
			added.set(document.primary, document);
		}
	}
	if (!changed) {
		return documents;
	}
	const left = removed.size > 0 ? next.filter((_, i) => !removed.has(i)) : next;
	return added.size > 0 ? merge(left, [...added.values()].sort((a, b) => (precedes(a.primary, b.primary) ? -1 : 1))) : left;
}

/** Returns where a document with that primary key is or would be. */
function place<T>(documents: readonly Document<T>[], id: string): number {
	let low = 0;
	let high = documents.length;
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (precedes((documents[middle] as Document<T>).primary, id)) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/** Merges two ordered lists. */
function merge<T>(many: Document<T>[], few: Document<T>[]): Document<T>[] {
	const out: Document<T>[] = [];
	let from = 0;
	for (const document of few) {
		const to = place(many, document.primary);
		for (; from < to; from++) {
			out.push(many[from] as Document<T>);
		}
		out.push(document);
	}
	for (; from < many.length; from++) {
		out.push(many[from] as Document<T>);
	}
	return out;
}
