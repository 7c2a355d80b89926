/**
 * What a task is at, and what became of it, in words.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { Task } from '../api';
import type { TaskState } from './shown';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
const STEP = 1024;

/**
 * Write an amount of bytes as a person reads it, such as 1.5 GiB.
 */
export function bytesText(bytes: number): string {
  const power = powerOf(bytes);
  return `${amount(bytes, power)} ${UNITS[power]}`;
}

/**
 * Say how far a task is, such as “Packing — 120 of 700 MiB, 8,000 of 22,886 files”.
 */
export function progressText(
  task: TaskState,
  trans: TranslationBundle
): string {
  const { stage, bytes_done, bytes_total, files_done, files_total } = task;
  const parts = [];
  if (bytes_total !== null) {
    const power = powerOf(bytes_total);
    const done = amount(bytes_done, power);
    parts.push(trans.__('%1 of %2', done, bytesText(bytes_total)));
  } else if (bytes_done > 0) {
    parts.push(bytesText(bytes_done));
  }
  if (files_total !== null) {
    const [done, total] = [files_done, files_total].map(number);
    parts.push(trans.__('%1 of %2 files', done, total));
  } else if (files_done > 0) {
    parts.push(trans.__('%1 files', number(files_done)));
  }
  return parts.length > 0 ? `${stage} — ${parts.join(', ')}` : stage;
}

/**
 * Give how far a task is, from 0 to 1; null while nobody knows.
 */
export function fractionOf(task: TaskState): number | null {
  const { bytes_done, bytes_total, files_done, files_total } = task;
  const [done, total] =
    bytes_total === null
      ? [files_done, files_total]
      : [bytes_done, bytes_total];
  return total ? Math.min(done / total, 1) : null;
}

/**
 * Say what became of a task that has ended.
 */
export function endText(task: Task, trans: TranslationBundle): string {
  switch (task.state) {
    case 'failed':
      return task.error?.message ?? trans.__('It failed.');
    case 'cancelled':
      return trans.__('It was cancelled.');
    case 'interrupted':
      return trans.__(
        'It was interrupted, because the Jupyter server stopped. It can be taken up again.'
      );
    case 'done':
      return doneText(task, trans);
    default:
      return '';
  }
}

function doneText(task: Task, trans: TranslationBundle): string {
  switch (task.kind) {
    case 'create':
      return trans.__('The kernel was created.');
    case 'edit':
      return trans.__(
        'The kernel was changed. Restart its running kernels to use the new configuration.'
      );
    case 'move':
      return trans.__('The kernel was moved.');
    case 'test':
      return testText(task.flight, trans);
    default:
      return trans.__('The environment can be used now.');
  }
}

function testText(flight: Task['flight'], trans: TranslationBundle): string {
  return flight?.passed === false
    ? trans.__('The test failed. %1', flight.verdict)
    : trans.__('The test passed. %1', flight?.verdict ?? '');
}

function powerOf(bytes: number): number {
  let power = 0;
  while (bytes >= STEP ** (power + 1) && power < UNITS.length - 1) {
    power++;
  }
  return power;
}

function amount(bytes: number, power: number): string {
  const value = bytes / STEP ** power;
  const isShort = power > 0 && value < 10;
  return number(value, isShort ? 1 : 0);
}

function number(value: number, digits = 0): string {
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}
