import type { WidgetProps } from '@rjsf/utils';
import * as React from 'react';
import { chosenOf, offerOf, templateName } from './policy';
import { commonProps, contextOf } from './widgets';

/**
 * The templates that an administrator offers.
 */
export function TemplateWidget(props: WidgetProps): JSX.Element {
  const { value, onChange } = props;
  const { offers, trans } = contextOf(props);
  const name = templateName((value ?? '') as string);
  const known =
    name === '' || offers.templates.some(offer => offer.name === name);
  const offer = offers.templates.find(offer => offer.name === name);
  return (
    <>
      <select
        {...commonProps(props)}
        value={name}
        onChange={event => onChange(event.target.value)}
      >
        {(name === '' || !offers.required) && (
          <option value="">
            {offers.required ? trans.__('Choose a template') : trans.__('None')}
          </option>
        )}
        {!known && (
          <option value={name}>{trans.__('%1 (not available)', name)}</option>
        )}
        {offers.templates.map(({ name, title }) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      {offer?.description && (
        <p className="jp-PySparkKernels-description">{offer.description}</p>
      )}
    </>
  );
}

/**
 * One of the sizes of a template, and any of its options.
 */
export function ChoicesWidget(props: WidgetProps): JSX.Element {
  const { id, value, onChange } = props;
  const context = contextOf(props);
  const { trans } = context;
  const chosen = chosenOf({ choices: (value ?? '') as string });
  const offer = offerOf(context.offers.templates, {
    template: context.template
  });
  const { sizes = [], options = [] } = offer ?? {};
  const choose = (name: string, isOn: boolean, instead: string[]): void => {
    const kept = chosen.filter(
      other => other !== name && !instead.includes(other)
    );
    onChange((isOn ? [...kept, name] : kept).join(' '));
  };
  return (
    <>
      {sizes.length > 0 && (
        <select
          {...commonProps(props)}
          value={sizes.find(({ name }) => chosen.includes(name))?.name ?? ''}
          onChange={({ target }) =>
            choose(
              target.value,
              true,
              sizes.map(({ name }) => name)
            )
          }
        >
          {sizes.map(({ name, title, description }) => (
            <option key={name} value={name}>
              {description ? trans.__('%1 — %2', title, description) : title}
            </option>
          ))}
        </select>
      )}
      {options.map(({ name, title, description }, index) => (
        <div key={name} className="jp-PySparkKernels-check">
          <input
            // The label of the field belongs to its first control.
            id={
              sizes.length === 0 && index === 0 ? id : `${id}__option${index}`
            }
            type="checkbox"
            aria-label={title}
            checked={chosen.includes(name)}
            onChange={({ target }) => choose(name, target.checked, [])}
          />
          <span>
            {description ? trans.__('%1 — %2', title, description) : title}
          </span>
        </div>
      ))}
    </>
  );
}

/**
 * One of the values that a template allows.
 */
export function OneOfWidget(props: WidgetProps): JSX.Element {
  const { options, value, onChange } = props;
  const allowed = (options.oneOf ?? []) as readonly string[];
  const known = allowed.includes((value ?? '') as string);
  return (
    <select
      {...commonProps(props)}
      onChange={event => onChange(event.target.value)}
    >
      {!known && <option value={value ?? ''}>{value ?? ''}</option>}
      {allowed.map(one => (
        <option key={one} value={one}>
          {one}
        </option>
      ))}
    </select>
  );
}
