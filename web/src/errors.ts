import type { ValidationProblem } from './validator.js';

/**
 * What a {@link ShoalError} is about. Codes are stable: branch on them, not on messages.
 *
 * Of documents:
 * - `exists`: there is a document, or a collection, with that primary key or name already
 * - `not-found`: there is no such document, or it was removed
 * - `changed`: the document changed while it was being modified, again and again
 * - `invalid`: the document cannot be stored as it is
 * - `schema`: the documents were migrated to a later version of the schema, by a newer version of the application; reload the page
 * - `unsupported`: this version, or this browser, cannot do what was asked
 *
 * Of storage:
 * - `quota`: no space left; nothing of the write was stored, the database stays usable
 * - `damaged`: records could not be read and were left out; peers send the documents again. It comes on `error$` of the database
 * - `locked`: another process has the database open and the storage allows one only
 * - `lost`: the browser or somebody deleted the database while it was open; open it anew
 * - `uncertain`: the browser closed the storage in the middle of a write, and nobody knows whether it was stored
 *
 * Of replication; these come on a pool's `error$`, which goes on and tries again by itself:
 * - `signaling`: the signaling server refused something
 * - `unauthorized`, `room-full`, `topic`: it let nobody into the topic
 * - `timeout`: no connection in time; where that stays, a TURN server is needed. Or an RxDB client did not answer in time
 * - `relay`: no connection through the signaling server either: it, or the peer, does not want that
 * - `peer-gone`: a peer stopped answering
 * - `replaced`: a peer came back on another connection
 * - `too-many-peers`: one side has as many connections as it wants
 * - `schema`, `version`: the peer has another schema or another version of it, or speaks another version of the protocol
 * - `secret`: the peer has another `secret`, or none, or somebody sits in the middle of the connection; it is left alone for a minute and more
 * - `refused`: `isPeerValid` said no, there or here
 * - `limit`, `peer`: the peer broke a limit or the protocol, or an RxDB client did not take a document, or sent one that cannot be taken
 * - `clock-skew`: a clock is minutes ahead, there or here
 * - `identity`: the storage is a copy of another replica's; it has a new id now
 * - `network`: a custom connection handler reported an error
 *
 * Of the program:
 * - `callback`: a function of the application threw, which is the `cause`
 * - `cancelled`, `closed`: the pool or the database was closed
 * - `load`: shoal.wasm could not be loaded
 * - `fatal`: the core crashed; reload the page
 * - `error`: anything else
 */
export type ErrorCode =
	| 'exists' | 'not-found' | 'changed' | 'invalid' | 'unsupported'
	| 'quota' | 'damaged' | 'locked' | 'lost' | 'uncertain'
	| 'signaling' | 'unauthorized' | 'room-full' | 'topic' | 'timeout' | 'relay' | 'peer-gone' | 'replaced' | 'too-many-peers'
	| 'schema' | 'version' | 'secret' | 'refused' | 'limit' | 'peer' | 'clock-skew' | 'identity' | 'network'
	| 'callback' | 'cancelled' | 'closed' | 'load' | 'fatal' | 'error';

/** What a {@link ShoalError} may say besides its code and message. */
export interface ErrorDetails {
	cause?: unknown;
	documentId?: string | undefined;
	peer?: string | undefined;
	problems?: readonly ValidationProblem[] | undefined;
}

/** Every error of this library but those about bad arguments, which are `TypeError`s. */
export class ShoalError extends Error {
	readonly code: ErrorCode;
	/** The document that the error is about. */
	readonly documentId: string | undefined;
	/** The peer that the error is about. */
	readonly peer: string | undefined;
	/** What is wrong with the document, where it does not follow its schema. */
	readonly problems: readonly ValidationProblem[] | undefined;

	constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
		super(message, 'cause' in details ? { cause: details.cause } : undefined);
		this.name = 'ShoalError';
		this.code = code;
		this.documentId = details.documentId;
		this.peer = details.peer;
		this.problems = details.problems;
	}
}

/** @internal Makes a ShoalError of what the core, or anything else, rejected with. TypeErrors stay as they are. */
export function toShoalError(thrown: unknown): Error {
	if (thrown instanceof ShoalError || thrown instanceof TypeError) {
		return thrown;
	}
	if (!(thrown instanceof Error)) {
		return new ShoalError('error', String(thrown), { cause: thrown });
	}
	const { code, cause } = thrown as { code?: unknown; cause?: unknown };
	if (thrown.name === 'ShoalError' && typeof code === 'string') {
		return new ShoalError(code as ErrorCode, thrown.message, cause === undefined ? {} : { cause });
	}
	return new ShoalError('error', thrown.message, { cause: thrown });
}
