/**
 * What stands in the inputs, which is text throughout, and the KernelConfig it means.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Environment, KernelConfig, Remark } from '../api';
import {
  CONF,
  ENV,
  type Entries,
  formatLines,
  type ISyntax,
  LABELS,
  parseLines,
  SECRETS
} from './lines';

/**
 * The text in each input; an empty one is absent. Of a checkbox it is `true` or `false`.
 */
export type Values = Readonly<Record<string, string>>;

/**
 * What we use of the server's JSON Schema of KernelConfig.
 */
export interface IConfigSchema {
  properties: Readonly<Record<string, IFieldSchema>>;
  required?: readonly string[];
}

interface IFieldSchema {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
}

const SYNTAXES: Readonly<Record<string, ISyntax>> = {
  env: ENV,
  labels: LABELS,
  secrets: SECRETS
};

/**
 * The parts of the form that are folded away.
 */
export type Section = 'identity' | 'advanced';

/**
 * Tell in which of them a field is, by its layout; null when it is always there.
 */
export function sectionOf(layout: unknown): Section | null {
  const { 'ui:options': options } = (layout ?? {}) as {
    'ui:options'?: { advanced?: boolean; section?: string };
  };
  if (options?.advanced !== true) {
    return null;
  }
  return options.section === 'identity' ? 'identity' : 'advanced';
}

/**
 * How the text of a field that holds names and values is written.
 */
export function syntaxOf(field: string): ISyntax {
  return SYNTAXES[field] ?? CONF;
}

/**
 * Write values of fields as text; what belongs to no field is left out.
 */
export function toValues(
  config: ReadonlyPartialJSONObject,
  schema: IConfigSchema
): Values {
  const texts = Object.keys(schema.properties).map(field => [
    field,
    toText(field, config[field])
  ]);
  return Object.fromEntries(texts.filter(([, text]) => text !== ''));
}

function toText(field: string, value: unknown): string {
  if (['string', 'number', 'boolean'].includes(typeof value)) {
    return String(value);
  }
  if (Array.isArray(value)) {
    // Names, which hold no blanks.
    return value.join(' ');
  }
  if (typeof value === 'object' && value !== null) {
    const texts = Object.entries(value).map(([k, v]) => [k, String(v)]);
    return formatLines(Object.fromEntries(texts), syntaxOf(field));
  }
  return '';
}

/**
 * Give the default of every field that has one.
 */
export function schemaDefaults(schema: IConfigSchema): Values {
  const defaults = Object.entries(schema.properties).map(
    ([field, property]) => [field, property.default]
  );
  return toValues(Object.fromEntries(defaults), schema);
}

/**
 * Choose the environment of a new kernel: the first that has PySpark, or else the first usable one.
 */
export function suggestedEnvironment(
  environments: readonly Environment[]
): string {
  const usable = environments.filter(({ problem }) => problem === null);
  const best = usable.find(({ packages }) => 'pyspark' in packages);
  return (best ?? usable[0])?.path ?? '';
}

/**
 * Read what was typed. What is no number, or neither true nor false, is sent as it stands: the server
 * says best what is wrong.
 *
 * @returns the configuration, and what nobody but us can say of the text.
 */
export function toConfig(
  values: Values,
  schema: IConfigSchema,
  trans: TranslationBundle
): { config: KernelConfig; errors: Remark[] } {
  const config: Record<string, string | number | boolean | string[] | Entries> =
    {};
  const errors: Remark[] = [];
  for (const [field, { type }] of Object.entries(schema.properties)) {
    const text = values[field] ?? '';
    if (text === '') {
      continue;
    }
    if (type === 'object') {
      const { entries, wrong } = parseLines(text, syntaxOf(field));
      if (Object.keys(entries).length > 0) {
        config[field] = entries;
      }
      for (const { line, text, isRepeated } of wrong) {
        const message = isRepeated
          ? trans.__(
              'Line %1, “%2”, gives a name that a line above gives already. Remove one of them.',
              line,
              text
            )
          : trans.__(
              'Line %1, “%2”, cannot be read. Write it like this: %3',
              line,
              text,
              syntaxOf(field).example
            );
        errors.push({ field, message });
      }
    } else if (type === 'array') {
      config[field] = text.split(' ').filter(Boolean);
    } else if (type === 'integer' && /^\s*\d+\s*$/.test(text)) {
      config[field] = Number(text);
    } else if (type === 'boolean' && /^(true|false)$/.test(text)) {
      config[field] = text === 'true';
    } else {
      config[field] = text;
    }
  }
  return { config: config as KernelConfig, errors };
}

/**
 * Say which of the fields that a kernel cannot do without are empty.
 */
export function missingFields(
  values: Values,
  schema: IConfigSchema,
  trans: TranslationBundle
): Remark[] {
  return (schema.required ?? [])
    .filter(field => !values[field])
    .map(field => ({
      field,
      message: trans.__(
        '%1 is missing. Fill it in.',
        schemaText(schema.properties[field].title ?? field, trans)
      )
    }));
}

/**
 * Translate a text of the server's schema, as JupyterLab's settings editor does.
 */
export function schemaText(text: string, trans: TranslationBundle): string {
  // The same texts stand in the settings schema, from where they are collected for translators.
  // eslint-disable-next-line jupyter/no-dynamic-translation
  return text && trans._p('schema', text);
}
