// Writes what RxDB's own matcher, sort comparator and query normalisation say of generated and of chosen queries, for
// golden_test.go, and what JavaScript's RegExp says of patterns, for the tests of jsregexp. Run it in a directory where the wanted rxdb is installed:
//
//   cd <directory with node_modules/rxdb> && node <this directory>/generate.mjs
//
// It writes rxdb-<version>-mingo-<version>.json.gz beside itself and ../jsregexp/testdata/node-<version>.json. Cases come from a seeded generator: the same versions
// give the same file.
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(join(process.cwd(), 'generate.js'));
const rxdb = require('rxdb');
const mingo = require('mingo');
const version = name => JSON.parse(readFileSync(join(process.cwd(), 'node_modules', name, 'package.json'))).version;

let state = 20261101;
const random = () => { // mulberry32
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const below = n => Math.floor(random() * n);
const pick = list => list[below(list.length)];
const times = (n, f) => Array.from({ length: n }, f);

// Documents, as JSON text.

const scalars = ['null', 'true', 'false', '0', '-0', '1', '1.0', '1.5', '2', '3', '-3', '10', '1e3', '1e400', '9007199254740993', '0.1', '""', '"a"', '"A"', '"b"',
    '"ab"', '"10"', '"\\u0061"', '"\\u00fc"', '"ü"', '"😀"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00"', '"\\uE000"', '"\uFFFD"', '"a\\u0000"', '"a\\nb"', '"é"', '"z"'];
const fields = ['a', 'b', 'c', 'd'];
const valueText = depth => {
    const r = random();
    if (depth > 0 && r < 0.17) return '[' + times(below(4), () => valueText(depth - 1)).join(', ') + ']';
    if (depth > 0 && r < 0.34) return objectText(depth - 1, below(3));
    if (r < 0.7) return pick(['1', '2', '3', '"a"', '"b"', 'null', 'true']);
    return pick(scalars);
};
const keyText = key => random() < 0.05 ? '"\\u00' + key.charCodeAt(0).toString(16) + '"' : JSON.stringify(key);
const objectText = (depth, size) => '{' + times(size, () => keyText(pick([...fields, ...fields, '0', 'e.f'])) + ':' + valueText(depth)).join(',') + '}';

const docs = [
    {}, { a: null }, { a: 1 }, { a: [] }, { a: {} }, { a: [1, 2, 3] }, { a: [[1, 2], [3]] }, { a: [[1]] }, { a: [[[1]]] }, { a: { b: 1 } }, { a: { b: { c: 1 } } },
    { a: [{ b: 1 }, { b: 2 }] }, { a: [{ b: [1, 2] }] }, { a: [{ b: [{ c: 1 }] }] }, { a: [{ b: [] }] }, { a: [[{ b: 1 }]] }, { a: [{ b: [[1]] }] }, { a: [{ b: null }] }, { a: [{}] },
    { a: [{ c: 1 }, 5] }, { a: [null] }, { a: [5] }, { a: ['x', 5, null, true] }, { a: { b: [{ c: 1 }, { c: 2 }] } }, { a: { 0: 'x' } }, { a: ['x', { b: 1 }] }, { a: 'abc' }, { a: true, b: false },
    { a: { b: 1, c: 2 } }, { a: { c: 2, b: 1 } }, { a: [{ b: 1, c: 2 }, { b: 3, c: 4 }] }, { a: [1, [1, 2]] }, { a: [{ b: 1 }, { b: [1, { c: 3 }] }] }, { a: 4 }, { a: 5.5 }, { a: -4 }, { a: '4' },
].map(d => JSON.stringify(d));
docs.push('{"a":1,"a":2}', '{"a":{"b":1,"b":2}}', '{"a":{"b":1,"c":2,"b":3}}', '{ "a" : 1 , "b" : [ 1 , 2 ] }', '{"\\u0061":1}', '{"a":-0}', '{"a":1e400}', '{"a":"\\ud800"}');
while (docs.length < 230) docs.push(objectText(3, 1 + below(4)));
const withIDs = docs.map((text, i) => '{"id":"d' + String(i).padStart(3, '0') + '"' + (text === '{}' ? '' : ',' + text.trim().slice(1, -1)) + '}');
const parsed = withIDs.map(text => JSON.parse(text));

// Selectors.

const paths = ['a', 'a', 'a', 'b', 'c', 'a.b', 'a.b', 'a.c', 'a.b.c', 'a.0', 'a.1', 'a.0.b', 'a.b.0', 'b.a', 'b.c', 'a.0.0', 'a.b.0.c', 'a.00'];
const value = depth => JSON.parse(JSON.stringify(JSON.parse(valueText(depth)))); // what its text says: no infinity, no -0
const operators = {
    $eq: () => value(2), $ne: () => value(2), $gt: () => value(1), $gte: () => value(1), $lt: () => value(1), $lte: () => value(1),
    $in: () => times(below(4), () => value(2)), $nin: () => times(below(4), () => value(2)), $exists: () => random() < 0.5,
    $regex: () => pick(['a', '^a', 'b$', '^$', '.', '[a-b]', '^(a|b)', 'A']), $size: () => below(4),
    $type: () => pick(['null', 'boolean', 'bool', 'number', 'int', 'long', 'double', 'string', 'array', 'object', 'undefined', 1, 2, 3, 4, 6, 8, 10, 16, 18, 19, ['string', 'number'], [10, 'array'], []]),
    $mod: () => [pick([2, 3, 1.5, -2]), pick([0, 1, 0.5, -1])], $not: depth => condition(depth - 1), $elemMatch: depth => element(depth - 1),
};
const condition = depth => {
    if (depth <= 0 || random() < 0.15) return plain(value(2));
    const out = {};
    for (let n = 1 + below(2); n > 0; n--) {
        const operator = pick(Object.keys(operators));
        out[operator] = operators[operator](depth);
        if (operator === '$regex' && random() < 0.4) out.$options = pick(['i', 'm', 's', 'im']);
    }
    return out;
};
const plain = v => v;
const element = depth => random() < 0.5
    ? Object.fromEntries(Object.entries(operatorsOnly(depth)))
    : selector(depth, ['a', 'b', 'c', 'b.c', 'a.b', '0']);
const operatorsOnly = depth => {
    const c = condition(Math.max(depth, 1));
    // RxDB rewrites what stands beside or under a $not here so that it never matches; see TestDeviations.
    if (c === null || typeof c !== 'object' || Array.isArray(c) || '$not' in c || !Object.keys(c).some(k => k.startsWith('$'))) return { $gte: value(0) };
    return c;
};
const selector = (depth, names = paths) => {
    const out = {};
    for (let n = 1 + below(depth > 1 ? 3 : 2); n > 0; n--) {
        if (depth > 1 && random() < 0.25) out[pick(['$and', '$or', '$nor'])] = times(below(4), () => selector(depth - 1, names));
        else out[pick(names)] = condition(depth);
    }
    return out;
};

const chosen = [
    {}, { a: 1 }, { a: null }, { a: [] }, { a: {} }, { a: [1, 2, 3] }, { a: { $eq: [1, 2] } }, { a: { $ne: null } }, { 'a.b': null }, { 'a.b': 1 }, { 'a.b': { $exists: false } }, { 'a.b.c': { $exists: true } },
    { 'a.b.c': { $exists: false } }, { 'a.0': { $exists: true } }, { 'a.0.b': { $exists: true } }, { 'a.0.b': { $exists: false } }, { a: { $exists: true } }, { a: { $in: [] } }, { a: { $nin: [] } }, { a: { $in: [null] } }, { a: { $in: [[1, 2]] } },
    { a: { $in: [{ b: 1 }] } }, { a: { $gt: null } }, { a: { $gte: null } }, { a: { $lte: null } }, { a: { $gt: [1] } }, { a: { $gt: { b: 0 } } }, { a: { $gte: false } }, { a: { $lt: 'b' } }, { a: { $elemMatch: {} } },
    { a: { $elemMatch: { $gte: 2, $lt: 3 } } }, { a: { $elemMatch: { b: 1 } } }, { a: { $elemMatch: { b: 5 } } }, { a: { $elemMatch: { b: null } } }, { a: { $elemMatch: { b: { $exists: false } } } }, { a: { $elemMatch: { 'b.c': { $exists: true } } } },
    { a: { $elemMatch: { $or: [{ b: 1 }, { c: 1 }] } } }, { a: { $elemMatch: { $and: [{ b: 1 }, { c: 2 }] } } }, { a: { $elemMatch: { $elemMatch: { $eq: 1 } } } }, { a: { $elemMatch: { b: { $elemMatch: { $gt: 1 } } } } },
    { a: { $elemMatch: { $in: [1, 2] } } }, { a: { $elemMatch: { $exists: true } } }, { a: { $elemMatch: { $regex: 'X', $options: 'i' } } }, { a: { $size: 0 } }, { a: { $size: 1 } }, { 'a.b': { $size: 2 } },
    { a: { $not: { $gt: 1 } } }, { a: { $not: 1 } }, { a: { $not: null } }, { a: { $not: { $not: 1 } } }, { a: { $not: { $regex: 'a' } } }, { a: { $not: { $elemMatch: { b: 1 } } } }, { $and: [] }, { $or: [] }, { $nor: [] }, { $nor: [{ a: 1 }] }, { $or: [{}] },
    { a: { $regex: 'b' } }, { a: { $regex: 'B', $options: 'i' } }, { a: { $regex: '^a.b$', $options: 's' } }, { a: { $regex: '^b', $options: 'm' } }, { a: { $mod: [2, 0] } }, { a: { $mod: [2, -0] } }, { a: { $type: 'object' } }, { a: { $type: [] } },
    { a: { b: 1 } }, { a: { b: 1, c: 2 } }, { a: { c: 2, b: 1 } }, { id: 'd001' }, { id: { $gte: 'd100', $lt: 'd102' } }, { a: { '$': 1 } }, { '$': 1 }, { a: { '$a.b': 1 } }, { a: '\ud800' }, { a: { $gt: '\ud83d' } }, { a: { $lt: '\ue000' } }, { a: { $gte: '😀' } },
    { a: { $gt: 1 }, b: { $ne: 2 }, $or: [{ c: 1 }, { c: { $exists: false } }] }, { 'a.b': [1, 2] }, { 'a.b': { $ne: 1 } }, { 'a.b': { $nin: [1] } }, { 'a.b': { $gt: 1 } }, { 'a.b.c': { $gt: 0 } }, { 'a.b.c': 1 }, { 'a.b.c': [1] },
    // refused
    { $gt: 1 }, { $not: { a: 1 } }, { $where: '1' }, { $expr: {} }, { $jsonSchema: {} }, { a: { $foo: 1 } }, { a: { $gt: 1, b: 1 } }, { $and: 1 }, { $and: [1] }, { $or: { a: 1 } }, { a: { $options: 'i' } }, { a: { $elemMatch: [1] } },
    { a: { $elemMatch: { $gt: 1, b: 1 } } }, { a: { $elemMatch: { $or: [{ $gt: 1 }] } } }, { a: { $regex: '(' } }, { a: { $regex: 'a', $options: 'q' } }, { '__proto__.a': 1 }, { a: { $where: 1 } },
];
const alls = [[], [1], [1, 2], ['a'], [null], [[1, 2]], [{ b: 1 }], [{ $elemMatch: { b: 1 } }], [{ $elemMatch: { b: { $gt: 1 } } }, { $elemMatch: { b: 1 } }], [{ $elemMatch: { $gt: 1 } }, 1], [{ $elemMatch: {} }]];

const schema = indexes => rxdb.fillWithDefaultSettings({
    version: 0, primaryKey: 'id', type: 'object', indexes,
    properties: { id: { type: 'string', maxLength: 10 }, ...Object.fromEntries(fields.map(f => [f, { type: 'string', maxLength: 10 }])) },
});
const copy = v => structuredClone(v);
const bits = (list, test) => {
    let hex = '';
    for (let i = 0; i < list.length; i += 4) hex += [0, 1, 2, 3].reduce((n, k) => n | (i + k < list.length && test(list[i + k]) ? 1 << k : 0), 0).toString(16);
    return hex;
};
const matcher = sel => {
    const normal = rxdb.normalizeMangoQuery(schema([]), { selector: copy(sel) });
    return rxdb.getQueryMatcher(schema([]), normal);
};
const outcome = (sel, make) => {
    try {
        const test = make(sel);
        return [JSON.stringify(sel), bits(parsed, d => test(d))];
    } catch (err) {
        return [JSON.stringify(sel), null];
    }
};
const match = chosen.map(sel => outcome(sel, matcher));
while (match.length < 4000) { // few of those that match nothing or all
    const o = outcome(selector(1 + below(3)), matcher);
    if (o[1] === null || random() < (/^0+$/.test(o[1]) ? 0.05 : /^f+3$/.test(o[1]) ? 0.1 : 1)) match.push(o);
}

// RxDB does not register $all, so these are mingo's own answers.
const all = [];
for (const path of ['a', 'b', 'a.b']) for (const list of alls) all.push(outcome({ [path]: { $all: list } }, sel => (q => d => q.test(d))(new mingo.Query(sel))));
while (all.length < 150) all.push(outcome({ [pick(paths)]: { $all: times(1 + below(2), () => value(1)) } }, sel => (q => d => q.test(d))(new mingo.Query(sel))));

// What RxDB says of the cases that golden_test.go lists as deviations.
const deviating = [
    { a: { $all: [1] } }, { a: { $elemMatch: { $not: { $gt: 2 } } } }, { a: { $mod: [2, 0] } }, { a: { $size: '2' } }, { a: { $type: 'strnig' } }, { a: { $exists: 'false' } }, { a: { $in: 1 } }, { a: { $mod: [2] } },
    { a: { $regex: 5 } }, { a: { $regex: '(?=a)a' } }, { a: { $regex: '(?<!a)b' } }, { a: { $regex: '(a)\\1' } }, { a: { $regex: '^.$' } }, { a: { $and: [{ a: 1 }] } }, { constructor: { $exists: true } }, { 'a.': 'x' }, { a: { $elemMatch: 5 } }, { a: { $regex: 'a', $options: 'y' } },
].map(sel => outcome(sel, matcher));

// Sort: < > = of document i against those at some distance.
const distances = [1, 2, 5, 11, 37];
const signs = sort => {
    const normal = rxdb.normalizeMangoQuery(schema([]), { selector: {}, sort: copy(sort) });
    const compare = rxdb.getSortComparator(schema([]), normal);
    let out = '';
    for (let i = 0; i < parsed.length; i++) for (const d of distances) {
        const n = compare(parsed[i], parsed[(i + d) % parsed.length]);
        out += n < 0 ? '<' : n > 0 ? '>' : '=';
    }
    return [JSON.stringify(sort), out];
};
const directions = () => pick(['asc', 'desc']);
const sorts = [[{ a: 'asc' }], [{ a: 'desc' }], [{ 'a.b': 'asc' }], [{ 'a.0': 'asc' }], [{ id: 'desc' }], [{ b: 'asc' }, { a: 'desc' }], [{ a: 'asc' }, { id: 'desc' }], [{ id: 'asc' }, { a: 'asc' }]].map(signs);
while (sorts.length < 24) sorts.push(signs(times(1 + below(3), () => ({ [pick(paths.filter(p => p !== 'a.00'))]: directions() })).filter((s, i, list) => list.findIndex(o => Object.keys(o)[0] === Object.keys(s)[0]) === i)));

// The sort that a query without one gets: [schema indexes, query, fields].
const normalized = [];
for (const indexes of [[], ['a'], ['b', 'a'], [['b', 'a'], 'c'], [['a', 'id'], 'b'], [['id', 'a']]]) {
    for (const query of [{}, { selector: { a: 1 } }, { selector: { c: { $gt: 1 } } }, { sort: [{ c: 'desc' }] }, { sort: [{ c: 'desc' }, { id: 'desc' }, { a: 'asc' }] }, { sort: [] }, ...(indexes.length ? [{ index: indexes.at(-1) }] : [])]) {
        const normal = rxdb.normalizeMangoQuery(schema(copy(indexes)), { selector: {}, ...copy(query) });
        normalized.push([JSON.stringify(indexes), JSON.stringify(query), normal.sort.filter(s => !('_deleted' in s))]);
    }
}

// Regular expressions, against JavaScript's own.
const strings = ['', 'a', 'A', 'b', 'ab', 'abc', 'a.c', 'aaa', 'foo bar', 'foo_bar', 'line1\nline2', 'x\ty', '\u00a0', '\u2028', '1', '12-34', 'ü', 'Ü', 'é', '[x]', '{2}', 'a{2}', '^', '$', '\\', 'a/b', '\b', '\u0000', 'kK', 'http://x.y/z?q=1', '-', ']', 'αβγ', 'ΑΒΓ', 'ß', 'ー', 'z9_', ' ', '\ufeff', '日本語', '😀😁', 'ABab', '\u0001', 'c'];
const regexes = [
    ['a'], ['^a'], ['a$'], ['^a$'], ['^$'], ['.'], ['^.$'], ['^.$', 's'], ['a|b'], ['^(?:a|b)$'], ['^(a|b)+$'], ['a*'], ['a+?'], ['a{2}'], ['a{2,}'], ['^a{1,2}$'], ['a{,2}'], ['{'], ['}'], [']'], ['a{'], ['\\{2\\}'], ['\\d'], ['\\D'], ['^\\w+$'], ['\\W'], ['\\s'], ['^\\S+$'],
    ['\\bfoo\\b'], ['\\Boo'], ['[abc]'], ['[^abc]'], ['[a-c]'], ['[\\d-]'], ['[\\w-z]'], ['[\\s]'], ['[\\S]'], ['[^\\s]'], ['[^\\S]'], ['[^\\d\\s]'], ['[]'], ['[^]'], ['[\\]]'], ['[[]'], ['[\\b]'], ['[a\\-z]'], ['[-a]'], ['[a-]'], ['\\.'], ['\\/'], ['/'], ['\\-'], ['\\\\'], ['\\$'], ['\\^'], ['\\n'], ['\\t'], ['\\0'], ['\\x61'], ['\\u0061'], ['\\xZZ'], ['\\u00fc'],
    ['\\u00fc', 'i'], ['\\ca'], ['\\a'], ['\\e'], ['\\-'], ['A', 'i'], ['[A-C]', 'i'], ['[^A]', 'i'], ['^line2', 'm'], ['line1$', 'm'], ['^l', ''], ['a.c', 's'], ['line1.line2'], ['line1.line2', 's'], ['(?<name>a)b'], ['(?:)'], [''], ['|'], ['()'], ['x*y?'], ['^[^@]+://[^/]+/.*$'], ['\\u{61}', 'u'], ['\\p{L}', 'u'], ['\\p{Lu}', 'u'], ['^\\P{L}+$', 'u'],
    ['\\p{Script=Greek}', 'u'], ['[\\p{L}\\d]', 'u'], ['α', 'i'], ['γ', 'iu'], ['ü', 'i'], ['日.語'], ['^.{3}$'], ['\\$\\{'], ['foo(?: bar)?$'], ['^(?:(?:a){1,3}){1,2}$'], ['a**'], ['('], [')'], ['['], ['*'], ['a{2}{3}'], ['\\'], ['(?'], ['[b-a]'], ['\\p{Nope}', 'u'], ['a{3,1}'], ['\\ud83d\\ude00', 'u'], ['\\uD83D\\uDE00'], ['\\u{1f600}', 'u'], ['[😀-😂]', 'u'], ['^[^a]{2}$', 'u'], ['\\u{110000}', 'u'], ['\\u{6', 'u'], ['a{2}?'], ['(?:a|b)*?c'], ['\\w{2,3}?$'], ['[\\cA]'], ['[\\x41-\\x43]'], ['[\\u0041-C]'], ['[^-a]'], ['^x{0}$'], ['^a{0,1}b'], ['(a)|b|'], ['\\bk', 'i'], ['[k]', 'i'], ['\\a', 'u'], ['a{', 'u'], ['[\\w-]', 'u'], ['\\x4', 'u'], ['^b|c$'], ['^ab?'], ['^ab*c'], ['^ab+c'], ['^ab{0}'], ['^a\\.c'], ['(?<n>a)(?<n2>b)'], ['(?<n'],
].map(([source, flags = '']) => {
    try {
        const re = new RegExp(source, flags);
        return [source, flags, bits(strings, s => re.test(s))];
    } catch (err) {
        return [source, flags, null];
    }
});

const out = { rxdb: version('rxdb'), mingo: version('mingo'), docs: withIDs, match, all, deviating, distances, sorts, normalized };
const here = dirname(fileURLToPath(import.meta.url));
const file = join(here, `rxdb-${out.rxdb}-mingo-${out.mingo}.json.gz`);
const packed = gzipSync(JSON.stringify(out), { level: 9 });
packed[9] = 255; // the operating system byte: not this machine's
writeFileSync(file, packed);
console.log(file, packed.length, 'bytes,', match.length, 'selectors,', match.filter(m => m[1] === null).length, 'refused,', match.filter(m => m[1] && /^0+$/.test(m[1])).length, 'match nothing');
writeFileSync(join(here, `../jsregexp/testdata/node-${process.versions.node.split('.')[0]}.json`), JSON.stringify({ strings, regexes }, null, 0).replaceAll('],[', '],\n[') + '\n');
