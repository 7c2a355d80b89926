import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

/**
 * A button that copies a text, and says that it has.
 */
export function CopyButton(props: {
  text: string;
  /** What is copied, for those who hear it; the text itself without it. */
  label?: string;
  trans: TranslationBundle;
}): JSX.Element {
  const { text, label, trans } = props;
  const [copied, setCopied] = React.useState<string | null>(null);
  return (
    <>
      <button
        type="button"
        className="jp-PySparkKernels-button"
        aria-label={label ?? trans.__('Copy: %1', text)}
        onClick={() => {
          Clipboard.copyToSystem(text);
          setCopied(text);
        }}
      >
        {trans.__('Copy')}
      </button>
      <span role="status" className="jp-PySparkKernels-description">
        {copied === text && trans.__('Copied.')}
      </span>
    </>
  );
}
