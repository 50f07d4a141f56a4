/** @internal One step from one result of a live query to the next: 1 puts a document in, 2 takes the one at a place out, 3 puts one in its place. */
export interface Edit<D> {
	readonly kind: 1 | 2 | 3;
	readonly at: number;
	/** For 1 and 3. */
	readonly document?: D | undefined;
}

/** With more edits than this, moving everything behind each of them would take longer than cutting the list up. */
const few = 64;

const blockSize = 512;

/** @internal Returns a list as it is after edits, which were made one after the other. */
export function edited<D>(list: readonly D[], edits: readonly Edit<D>[]): D[] {
	const copy = list.slice();
	if (edits.length <= few) {
		for (const edit of edits) {
			apply(copy, edit, edit.at);
		}
		return copy;
	}
	const blocks: D[][] = [];
	for (let i = 0; i < copy.length || i === 0; i += blockSize) {
		blocks.push(copy.slice(i, i + blockSize));
	}
	for (const edit of edits) {
		let at = edit.at;
		let b = 0;
		// A document that is put in may come behind the last one of a block.
		for (let length = lengthAt(blocks, b); b < blocks.length - 1 && (edit.kind === 1 ? at > length : at >= length); length = lengthAt(blocks, b)) {
			at -= length;
			b++;
		}
		const block = blocks[b] as D[];
		apply(block, edit, at);
		if (block.length > 2 * blockSize) {
			blocks.splice(b, 1, block.slice(0, blockSize), block.slice(blockSize));
		}
	}
	return blocks.flat() as D[];
}

function lengthAt<D>(blocks: readonly D[][], i: number): number {
	return (blocks[i] as D[]).length;
}

function apply<D>(list: D[], { kind, document }: Edit<D>, at: number): void {
	switch (kind) {
		case 1:
			list.splice(at, 0, document as D);
			break;
		case 2:
			list.splice(at, 1);
			break;
		case 3:
			list[at] = document as D;
	}
}
