/**
 * What a Spark held and used, in words, as an element, and as a smaller kernel.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import * as React from 'react';
import type { Kernel, KernelReceipt, Receipt } from './api';
import '../style/receipt.css';

const EDIT = 'pyspark-kernels:edit';
const CREATE = 'pyspark-kernels:create';
const MIB = 1024;

/**
 * The sizes that fit what a kernel has used, by the names of its fields.
 */
export type Changes = KernelReceipt['suggestion']['changes'];

/**
 * The part of a receipt that is said in a sentence.
 */
export type Figures = Pick<
  Receipt,
  'core_seconds' | 'task_seconds' | 'idle' | 'memory_mib' | 'peak_mib'
>;

/**
 * Say in a sentence what was used of what was held.
 */
export function sentenceOf(figures: Figures, trans: TranslationBundle): string {
  const { core_seconds, task_seconds, idle, memory_mib, peak_mib } = figures;
  const cores = [number(task_seconds), number(core_seconds), percent(idle)];
  return peak_mib === 0
    ? trans.__('Spark used %1 of %2 core-seconds (%3 idle).', ...cores)
    : trans.__(
        'Spark used %1 of %2 core-seconds (%3 idle) and %4 of %5 GiB.',
        ...cores,
        gibibytes(peak_mib),
        gibibytes(memory_mib)
      );
}

/**
 * Name one of the changes.
 */
export function changeOf(
  field: string,
  value: unknown,
  trans: TranslationBundle
): string {
  const labels: Record<string, string> = {
    executor_memory: trans.__('Executor memory'),
    driver_memory: trans.__('Driver memory'),
    executor_instances: trans.__('Executors'),
    cores_max: trans.__('Cores at most')
  };
  return trans.__('%1: %2.', labels[field] ?? field, String(value));
}

/**
 * Open the form with other sizes in it. Whoever may not change the kernel is offered one like it.
 */
export function resize(
  commands: JupyterFrontEnd['commands'],
  kernel: Kernel,
  changes: Changes,
  trans: TranslationBundle
): Promise<unknown> {
  const { place, name, config, display_name, writable } = kernel;
  if (writable) {
    // What the server sends is JSON.
    const args = { place, name, changes } as ReadonlyPartialJSONObject;
    return commands.execute(EDIT, args);
  }
  const own = {
    ...config,
    ...changes,
    name: undefined,
    place: undefined,
    display_name: trans.__('%1 (resized)', display_name)
  };
  // Only what a command takes: no field that is empty.
  return commands.execute(CREATE, JSON.parse(JSON.stringify(own)));
}

/**
 * The figures of a receipt, with a bar for each that is a part of something.
 */
export function ReceiptView(props: {
  receipt: Receipt;
  trans: TranslationBundle;
}): JSX.Element {
  const { receipt, trans } = props;
  const heap = receipt.local
    ? trans.__('Driver memory (heap)')
    : trans.__('Memory of an executor (heap)');
  return (
    <div className="jp-PySparkKernels-receipt">
      <p>{endOf(receipt, trans)}</p>
      <table className="jp-PySparkKernels-table">
        <tbody>
          <Share
            label={trans.__('Core-seconds')}
            part={receipt.task_seconds}
            whole={receipt.core_seconds}
            text={trans.__(
              '%1 of %2 s used (%3 idle)',
              number(receipt.task_seconds),
              number(receipt.core_seconds),
              percent(receipt.idle)
            )}
          />
          <Share
            label={heap}
            part={receipt.peak_mib}
            whole={receipt.memory_mib}
            text={memory(receipt.peak_mib, receipt.memory_mib, trans)}
          />
          {!receipt.local && (
            <Share
              label={trans.__('Driver memory (heap)')}
              part={receipt.driver_peak_mib}
              whole={receipt.driver_memory_mib}
              text={memory(
                receipt.driver_peak_mib,
                receipt.driver_memory_mib,
                trans
              )}
            />
          )}
          <Share
            label={trans.__('Time')}
            part={receipt.busy_seconds}
            whole={receipt.seconds}
            text={trans.__(
              'jobs ran for %1 of %2 s',
              number(receipt.busy_seconds),
              number(receipt.seconds)
            )}
          />
          {!receipt.local && (
            <Row label={trans.__('Executors')}>
              {trans.__(
                '%1 at most, %2 cores each',
                number(receipt.executors),
                number(receipt.cores)
              )}
            </Row>
          )}
          {receipt.python_peak_mib !== null && (
            <Row label={trans.__('Python workers')}>
              {trans.__(
                'at least %1 GiB of one executor',
                gibibytes(receipt.python_peak_mib)
              )}
            </Row>
          )}
          <Row label={trans.__('Garbage collection')}>
            {trans.__('%1 s', number(receipt.gc_seconds))}
          </Row>
          <Row label={trans.__('Spilled to disk')}>
            {trans.__('%1 GiB', gibibytes(receipt.spilled_mib))}
          </Row>
          <Row label={trans.__('Failed or cancelled')}>
            {trans.__(
              '%1 jobs, %2 stages, %3 tasks',
              number(receipt.failed_jobs),
              number(receipt.failed_stages),
              number(receipt.failed_tasks)
            )}
          </Row>
        </tbody>
      </table>
    </div>
  );
}

function Row(props: { label: string; children: React.ReactNode }): JSX.Element {
  return (
    <tr>
      <th scope="row">{props.label}</th>
      <td>{props.children}</td>
    </tr>
  );
}

function Share(props: {
  label: string;
  part: number;
  whole: number;
  text: string;
}): JSX.Element {
  const { label, part, whole, text } = props;
  const share = whole > 0 ? Math.min(1, part / whole) : 0;
  return (
    <Row label={label}>
      {text}
      <div className="jp-PySparkKernels-share" aria-hidden="true">
        <div style={{ width: `${100 * share}%` }} />
      </div>
    </Row>
  );
}

function endOf(receipt: Receipt, trans: TranslationBundle): string {
  const when = new Date(receipt.at).toLocaleString(undefined, {
    dateStyle: 'medium',
    timeStyle: 'short'
  });
  const texts: Record<Receipt['ended'], string> = {
    stopped: trans.__('Spark was stopped in a notebook on %1.', when),
    idle: trans.__('Spark was stopped as it was idle, on %1.', when),
    exit: trans.__('Spark ended with its kernel on %1.', when),
    lost: trans.__('Spark’s JVM ended by itself on %1.', when)
  };
  const last = trans.__('The figures are of the last seconds before.');
  return receipt.complete
    ? texts[receipt.ended]
    : `${texts[receipt.ended]} ${last}`;
}

function memory(part: number, whole: number, trans: TranslationBundle): string {
  if (part === 0) {
    // Executors tell with their heartbeats, and one that ends before sends none.
    return trans.__('not seen yet, of %1 GiB', gibibytes(whole));
  }
  return trans.__(
    'at least %1 of %2 GiB used',
    gibibytes(part),
    gibibytes(whole)
  );
}

function number(value: number): string {
  const digits = value < 10 ? 1 : 0;
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}

function gibibytes(mib: number): string {
  return number(mib / MIB);
}

function percent(share: number): string {
  return share.toLocaleString(undefined, { style: 'percent' });
}
