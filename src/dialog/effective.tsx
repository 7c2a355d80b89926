import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Effective } from '../api';
import { EffectiveTable } from '../effective';

/**
 * What counts in the end of what stands in the form. JupyterLab shows one dialog at a time, so it
 * is a part of the form, and is loaded when it is opened.
 */
export function EffectiveSection(props: {
  load: (everything: boolean) => Promise<Effective>;
  /** Changes with what stands in the form. */
  revision: unknown;
  trans: TranslationBundle;
}): JSX.Element {
  const { trans } = props;
  const [isOpen, setOpen] = React.useState(false);
  return (
    <details
      className="jp-PySparkKernels-section"
      onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
    >
      <summary>{trans.__('Effective configuration')}</summary>
      {isOpen && <EffectiveTable {...props} />}
    </details>
  );
}
