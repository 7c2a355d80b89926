import { CONF, ENV, formatLines, parseLines } from '../dialog/lines';

describe('lines of a spark-defaults.conf', () => {
  it.each([
    ['spark.a 1', { 'spark.a': '1' }],
    ['spark.a\t1', { 'spark.a': '1' }],
    ['spark.a=1', { 'spark.a': '1' }],
    ['spark.a = 1', { 'spark.a': '1' }],
    ['spark.a: 1', { 'spark.a': '1' }],
    ['spark.a==1', { 'spark.a': '=1' }],
    ['spark.a=', { 'spark.a': '' }],
    ['  spark.a   -Dx=y -Dz="a b"  ', { 'spark.a': '-Dx=y -Dz="a b"' }],
    ['spark.a s3a://bucket/x', { 'spark.a': 's3a://bucket/x' }],
    ['# spark.a 1\n\n   \r\nspark.b 2\r\n', { 'spark.b': '2' }],
    ['spark.a # is the value', { 'spark.a': '# is the value' }],
    ['', {}]
  ])('reads %j', (text, entries) => {
    expect(parseLines(text, CONF)).toEqual({ entries, wrong: [] });
  });

  it('names a line that has no value', () => {
    expect(parseLines('spark.a 1\n\nspark.b', CONF)).toEqual({
      entries: { 'spark.a': '1' },
      wrong: [{ line: 3, text: 'spark.b', isRepeated: false }]
    });
  });

  it('names a line that repeats a name, and keeps the first', () => {
    expect(parseLines('spark.a 1\nspark.a=2', CONF)).toEqual({
      entries: { 'spark.a': '1' },
      wrong: [{ line: 2, text: 'spark.a=2', isRepeated: true }]
    });
  });

  it('takes names that JavaScript knows otherwise', () => {
    const { entries } = parseLines('__proto__ 1\nconstructor 2', CONF);
    expect(Object.entries(entries)).toEqual([
      ['__proto__', '1'],
      ['constructor', '2']
    ]);
  });
});

describe('environment variables', () => {
  it.each([
    ['A=1', { A: '1' }],
    ['export A=1', { A: '1' }],
    ['A=', { A: '' }],
    ['A=b=c', { A: 'b=c' }],
    ['A="b c"', { A: '"b c"' }],
    ['A= b ', { A: ' b ' }],
    ['  A=b\r\n', { A: 'b' }],
    ['#A=1', {}]
  ])('reads %j', (text, entries) => {
    expect(parseLines(text, ENV)).toEqual({ entries, wrong: [] });
  });

  it.each(['A', 'A 1', '=1', 'A B=1'])('does not read %j', text => {
    expect(parseLines(text, ENV).wrong).toEqual([
      { line: 1, text, isRepeated: false }
    ]);
  });
});

describe.each([
  ['CONF', CONF],
  ['ENV', ENV]
])('a round trip through %s', (_, syntax) => {
  const values = ['1', '', '=', ':', '= x', ': x', 'a b', '#', 'x=y', 'ä "ö"'];

  it.each(values)('keeps the value %j', value => {
    const entries = { 'spark.a': value, 'spark.b': 'other' };
    const text = formatLines(entries, syntax);
    expect(parseLines(text, syntax)).toEqual({ entries, wrong: [] });
  });

  it('reads its own example', () => {
    const { entries, wrong } = parseLines(syntax.example, syntax);
    expect(wrong).toEqual([]);
    expect(formatLines(entries, syntax)).toBe(syntax.example);
  });
});
