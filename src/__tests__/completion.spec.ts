import { complete, completionAt, type ITyped } from '../dialog/completion';
import { SETTINGS } from './server';

/** Put the cursor where the bar is. */
function typed(marked: string): ITyped {
  return { text: marked.replace('|', ''), caret: marked.indexOf('|') };
}

function offered(marked: string, isAsked = false): string[] | undefined {
  const { settings } = SETTINGS;
  return completionAt(typed(marked), settings, isAsked)?.options.map(
    ({ text }) => text
  );
}

function completed(marked: string, isAsked = false): string {
  const at = typed(marked);
  const found = completionAt(at, SETTINGS.settings, isAsked);
  const { text, caret } = complete(at, found!, found!.options[0]);
  return `${text.slice(0, caret)}|${text.slice(caret)}`;
}

describe('what can be typed next', () => {
  it('is a key that begins so, or has it inside', () => {
    expect(offered('spark.executor.memoryO|')).toEqual([
      'spark.executor.memoryOverhead'
    ]);
    expect(offered('shuffle|')).toEqual(['spark.shuffle.compress']);
    expect(offered('MEMORYO|')).toEqual(['spark.executor.memoryOverhead']);
  });

  it('begins with what begins as was typed', () => {
    expect(offered('s|')?.[0]).toBe('spark.executor.memory');
    expect(offered('sql|')).toEqual(['spark.sql.storeAssignmentPolicy']);
    expect(offered('spark.executor.memory|')).toEqual([
      'spark.executor.memory',
      'spark.executor.memoryOverhead'
    ]);
  });

  it.each([
    '|',
    'a 1\n|',
    'nothing.like.it|',
    '# shuffle|',
    'spark.unknown |',
    'spark.executor.memory 1|',
    'spark.shuffle.compress true|',
    'spark.executor.memoryOverhead|'
  ])('is nothing at %j', marked => {
    expect(offered(marked)).toBeUndefined();
  });

  it('is everything when somebody asks at an empty line', () => {
    expect(offered('a 1\n|\nb 2', true)).toHaveLength(4);
  });

  it('is a value where few are taken', () => {
    expect(offered('spark.shuffle.compress |')).toEqual(['true', 'false']);
    expect(offered('spark.shuffle.compress=f|')).toEqual(['false']);
    expect(offered('spark.sql.storeAssignmentPolicy : st|')).toEqual([
      'STRICT'
    ]);
  });
});

describe('a completed text', () => {
  it('has the key, and room for its value', () => {
    expect(completed('memoryO|')).toBe('spark.executor.memoryOverhead |');
    expect(completed('a 1\n  memoryO|\nb 2')).toBe(
      'a 1\n  spark.executor.memoryOverhead |\nb 2'
    );
  });

  it('keeps the value that is there', () => {
    expect(completed('memoryO| 1g')).toBe('spark.executor.memoryOverhead| 1g');
    expect(completed('memoryO|ver=1g')).toBe(
      'spark.executor.memoryOverhead|=1g'
    );
  });

  it('has the value in the place of another', () => {
    expect(completed('spark.shuffle.compress f|oo\nb 2')).toBe(
      'spark.shuffle.compress false|\nb 2'
    );
  });
});
