// Package query answers Mango queries over documents that are JSON text, as RxDB 17.6 does: it matches selectors, orders results, keeps
// indexes in memory, chooses among them, and keeps results up to date. It does no I/O, starts no goroutine and never blocks.
//
// # Use
//
//	schema, err := query.ParseSchema(schemaJSON)
//	indexes := query.NewIndexes(schema)
//	indexes.Build(docs)                                   // on open; StartBuild does it in steps
//	q, err := query.Parse(queryJSON, schema)
//	docs := indexes.Plan(q).Find()
//	live := indexes.Live(q)                               // live.Docs()
//	indexes.Update(change); edits := live.Apply(changes)  // for every write
//
// # Selectors
//
// A selector is an object of fields and of $and, $or and $nor with lists of selectors. A field takes a value that it must equal, or
// an object of $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $regex with $options, $not, $elemMatch, $size, $type, $mod
// and $all. What they mean is what RxDB's matcher, mingo 7.2.4, makes of them; testdata holds its answers to some thousand
// cases. In short:
//
//   - A path goes through objects by key, through arrays by index, and else into every element of an array; what is found in
//     several elements is gathered into an array. Keys that contain a dot cannot be addressed.
//   - Where a value is an array, $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $regex and $mod look at its elements too; $type,
//     $size, $elemMatch and $all look at the array.
//   - null equals a missing field. $gt, $gte, $lt and $lte hold only between values of one type, and never for a missing field.
//   - Objects are equal whatever the order of their keys. Numbers are float64 and -0 is 0. Strings compare by UTF-16 code
//     units, lone surrogates included. Of two members with one key the last counts.
//   - Within $elemMatch a selector's path of an element that is no object or array leads to the element itself.
//
// # Order
//
// See [Query.Compare] for the order of values of different types and [Parse] for the order of a query without a sort. Fields of a
// sort go through arrays by index only, as in RxDB.
//
// # Where this differs from RxDB 17.6
//
//   - $all works; RxDB does not register it. It means what mingo means by it.
//   - $not within $elemMatch works. RxDB rewrites its operand so that it never matches.
//   - $mod looks at numbers only; mingo takes null, booleans and texts for numbers, so that null is even.
//   - Fields named like a property of JavaScript's objects, such as constructor, exist only where the document has them.
//   - A sort field does not take single characters of a string by their index.
//   - Documents whose sort fields hold equal arrays or objects are ordered by the following fields and the primary key; RxDB leaves
//     them in any order. Where RxDB's comparison is no order at all, 1 being equal to both [1, 2] and [1, 5], the
//     scalar comes first.
//   - Deeper than 16 levels, arrays and objects are ordered by their text.
//   - Operands that mingo accepts and that then never match are refused: a $size that is no whole number, a $type that is no type,
//     a $mod that is not two numbers or divides by 0, a $regex that is no string, an $exists that is neither boolean nor
//     number. So are $and, $or and $nor under a field, paths with an empty part, and fields that the schema lacks (RxDB
//     refuses these in its development mode).
//   - $regex uses the engine that the schema names. Package jsregexp translates the pattern for Go's engine, which needs time in
//     proportion to the text, whatever a peer puts there; what it refuses and takes otherwise is listed there. In a browser
//     the host's RegExp can stand in, with JavaScript's meaning and without the size (126 KB of wasm gzipped), but then a
//     pattern that backtracks can be held up by a text. A lone surrogate is matched as U+FFFD. The flag y is refused.
//   - The flags g and d of $options change nothing; with RxDB g makes every second match fail.
//   - Queries are bounded: 4 MiB of text, 32 levels, 1000 conditions, 1000 bytes of a pattern.
//
// # Indexes
//
// An index orders documents by scalars. A document whose indexed field is an array or object, or lies in an array, is kept beside
// the order and every query by that index looks at it, so answers are right whatever the documents hold; Explain counts
// such documents. Every index ends with the primary key. Keys are byte strings whose order is the order of the values
// ([Query.AppendKey] describes the same encoding), so that comparisons are those of strings.
//
// A document's Body must hold its primary key, equal to Doc.ID.
package query
