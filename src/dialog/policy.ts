/**
 * What an administrator's template means for the inputs. The server says what is right; this only
 * shows beforehand what it will say.
 */

import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Kernel, Offer, OfferedRule } from '../api';
import type { Values } from './values';

/**
 * Fields of which a template rules single entries.
 */
const GROUPS = ['conf', 'env', 'labels', 'secrets'] as const;

/**
 * Give the template that the inputs name, be it with the digest of its version.
 */
export function offerOf(
  offers: readonly Offer[],
  values: Values
): Offer | undefined {
  const name = templateName(values.template ?? '');
  return offers.find(offer => offer.name === name);
}

export function templateName(reference: string): string {
  return reference.split('@')[0];
}

export function chosenOf(values: Values): string[] {
  return (values.choices ?? '').split(' ').filter(Boolean);
}

/**
 * Give what holds with the sizes and options that are chosen, by field and setting.
 */
export function rulesOf(
  offer: Offer | undefined,
  values: Values
): ReadonlyMap<string, OfferedRule> {
  const chosen = chosenOf(values);
  const bundles = [...(offer?.sizes ?? []), ...(offer?.options ?? [])];
  const rules = [
    ...(offer?.rules ?? []),
    ...bundles
      .filter(({ name }) => chosen.includes(name))
      .flatMap(({ rules }) => rules)
  ];
  return new Map(rules.map(rule => [`${rule.field} ${rule.setting}`, rule]));
}

/**
 * Give the inputs after another template, size or option was chosen: what that settles, and its
 * defaults where nothing stands; what the one before had settled goes.
 *
 * @param defaults - what stands in an input that nobody has touched.
 */
export function settled(
  values: Values,
  before: Values,
  offers: readonly Offer[],
  defaults: Values
): Values {
  const offer = offerOf(offers, values);
  const isNew = templateName(before.template ?? '') !== (offer?.name ?? '');
  const made: Record<string, string> = { ...values };
  if (isNew || chosenOf(values).length === 0) {
    made.choices = offer?.size ?? '';
  }
  for (const rule of rulesOf(offerOf(offers, before), before).values()) {
    if (rule.locked && made[rule.field] === rule.value) {
      made[rule.field] = defaults[rule.field] ?? '';
    }
  }
  for (const { field, value, locked } of rulesOf(offer, made).values()) {
    if ((GROUPS as readonly string[]).includes(field)) {
      // The server puts these in.
      continue;
    }
    if (locked || !made[field] || made[field] === defaults[field]) {
      made[field] = value ?? '';
    }
  }
  return made;
}

/**
 * Give what a kernel was made from, without the entries that its template puts in anew.
 */
export function withoutSettled(
  config: NonNullable<Kernel['config']>,
  offers: readonly Offer[]
): ReadonlyPartialJSONObject {
  const values = {
    template: config.template ?? '',
    choices: (config.choices ?? []).join(' ')
  };
  const locked = new Set(
    [...rulesOf(offerOf(offers, values), values).values()]
      .filter(rule => rule.locked)
      .map(({ field, setting }) => `${field} ${setting}`)
  );
  const kept = (group: (typeof GROUPS)[number]) => [
    group,
    Object.fromEntries(
      Object.entries(config[group] ?? {}).filter(
        ([name]) => !locked.has(`${group} ${name}`)
      )
    )
  ];
  return {
    ...(config as ReadonlyPartialJSONObject),
    ...Object.fromEntries(GROUPS.map(kept))
  };
}
