/**
 * How Spark is, in words.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import { bytesText } from '../tasks/texts';
import type { IRunning } from './activity';
import type { ISparkStatus, SparkModel } from './spark';

/**
 * What is shown of how Spark is.
 */
export interface IIndication {
  /** Which sign stands before the label. */
  kind: 'coming' | 'ready' | 'running' | 'resting' | 'stopped' | 'failed';
  /** So short that it has room in a toolbar. */
  label: string;
  /** The whole of it. */
  caption: string;
}

type Known = Pick<
  SparkModel,
  'status' | 'activity' | 'isReturning' | 'isAsked'
>;

/**
 * The stages of a start that take time.
 */
const STEPS = ['jvm', 'connecting', 'executors'];

const MIB = 1024 ** 2;

/**
 * Say how Spark is; null when nothing is known.
 */
export function indicationOf(
  { status, activity, isReturning, isAsked }: Known,
  trans: TranslationBundle
): IIndication | null {
  if (status === null) {
    return isAsked ? asked(trans) : null;
  }
  if (isReturning) {
    const label = trans.__('Spark is coming back');
    return { kind: 'coming', label, caption: comingText(status, label, trans) };
  }
  switch (status.stage) {
    case 'jvm':
      return coming(status, trans.__('Spark: JVM starts'), trans);
    case 'connecting':
      return coming(status, trans.__('Spark: connecting'), trans);
    case 'executors':
      return coming(status, executorsText(status, trans), trans);
    case 'ready':
      return activity?.running
        ? running(activity.running, trans)
        : ready(status, trans);
    case 'released':
    case 'stopped_asked':
    case 'stopped_idle':
      return resting(status, trans);
    case 'stopped':
      return {
        kind: 'stopped',
        label: trans.__('Spark stopped'),
        caption: trans.__(
          'Spark was stopped, or its JVM ended. Restart the kernel, or start a session in a cell.'
        )
      };
    case 'failed':
      return {
        kind: 'failed',
        label: trans.__('Spark failed'),
        caption: [trans.__('Spark failed.'), status.cause, status.fix]
          .filter(Boolean)
          .join(' ')
      };
    default:
      // Of a newer launcher.
      return null;
  }
}

function asked(trans: TranslationBundle): IIndication {
  return {
    kind: 'coming',
    label: trans.__('Spark: asking kernel'),
    caption: trans.__(
      'The kernel has not yet told how Spark is. It answers as soon as it starts, or when the cell ends that it runs.'
    )
  };
}

function coming(
  status: ISparkStatus,
  label: string,
  trans: TranslationBundle
): IIndication {
  const caption = trans.__('Spark is starting');
  return { kind: 'coming', label, caption: comingText(status, caption, trans) };
}

function comingText(
  status: ISparkStatus,
  what: string,
  trans: TranslationBundle
): string {
  const at: Record<string, string> = {
    jvm: trans.__('its JVM starts.'),
    connecting: trans.__('it connects to %1.', status.master ?? 'Spark'),
    executors: trans.__(
      'it waits for its executors, and has %1.',
      ofWanted(status, trans)
    )
  };
  const step = at[status.stage];
  return step ? trans.__('%1: %2', what, step) : `${what}.`;
}

function executorsText(status: ISparkStatus, trans: TranslationBundle): string {
  return trans.__('Executors: %1', ofWanted(status, trans));
}

/**
 * Say how many executors there are of how many.
 */
function ofWanted(
  { executors = 0, executors_wanted: wanted }: ISparkStatus,
  trans: TranslationBundle
): string {
  return wanted
    ? trans.__('%1 of %2', executors, wanted)
    : trans.__('%1', executors);
}

function ready(status: ISparkStatus, trans: TranslationBundle): IIndication {
  const { executors, cores, memory_mib: memory } = status;
  const parts = [];
  if (executors) {
    parts.push(trans._n('%1 executor', '%1 executors', executors));
  }
  // The driver's own, or of no executors at all: then there is nothing to boast of.
  if (cores) {
    parts.push(coresText(cores, trans));
  }
  if (memory) {
    parts.push(memoryText(memory));
  }
  const short = parts.slice(-2).join(', ');
  return {
    kind: 'ready',
    label: cores ? trans.__('Spark: %1', short) : trans.__('Spark ready'),
    caption: parts.length
      ? trans.__('Spark is ready: %1.', parts.join(', '))
      : trans.__('Spark is ready.')
  };
}

function running(of: IRunning, trans: TranslationBundle): IIndication {
  const { done, all } = of.tasks;
  return {
    kind: 'running',
    label: trans.__('Spark: %1 of %2 tasks', done, all),
    caption: trans.__('Spark runs %1.', runningText(of, trans))
  };
}

/**
 * Say what runs.
 */
export function runningText(
  { jobs, stages, tasks }: IRunning,
  trans: TranslationBundle
): string {
  const parts = [
    trans._n('%1 job', '%1 jobs', jobs),
    trans._n('%1 stage', '%1 stages', stages),
    trans.__('%1 of %2 tasks done', tasks.done, tasks.all)
  ];
  if (tasks.failed) {
    parts.push(trans.__('%1 failed', tasks.failed));
  }
  return parts.join(', ');
}

function resting(
  { stage, idle }: ISparkStatus,
  trans: TranslationBundle
): IIndication {
  const time = duration(idle?.seconds ?? 0, trans);
  const at = idle
    ? new Date(idle.at).toLocaleString(undefined, {
        dateStyle: 'short',
        timeStyle: 'short'
      })
    : '';
  const kind = 'resting';
  if (stage === 'stopped_asked') {
    return {
      kind,
      label: trans.__('Spark stopped'),
      caption: trans.__(
        'Spark was stopped on request at %1, and the next Spark cell starts it again. The variables of Python are kept.',
        at
      )
    };
  }
  if (stage === 'released') {
    return {
      kind,
      label: trans.__('Spark released: %1 idle', time),
      caption: trans.__(
        'Spark released: idle for %1. It gave its executors back at %2, and the next Spark cell gets them again.',
        time,
        at
      )
    };
  }
  return {
    kind,
    label: trans.__('Spark stopped: %1 idle', time),
    caption: trans.__(
      'Spark stopped: idle for %1. It was stopped at %2, and the next Spark cell starts it again. The variables of Python are kept.',
      time,
      at
    )
  };
}

/**
 * What a person may want to know besides: each name with its value.
 */
export function factsOf(
  status: ISparkStatus,
  trans: TranslationBundle
): [string, string][] {
  const { master, application_id: application } = status;
  const { cores, memory_mib: memory, spark_version: version } = status;
  const facts: [string, string | null | undefined][] = [
    [trans.__('Master'), master],
    [trans.__('Application'), application],
    [trans.__('Executors'), executorsOf(status, trans)],
    [trans.__('Cores'), cores ? String(cores) : null],
    [trans.__('Memory'), memory ? memoryText(memory) : null],
    [trans.__('Start'), stepsText(status, trans)],
    [trans.__('Spark'), version]
  ];
  return facts.filter((fact): fact is [string, string] => Boolean(fact[1]));
}

function executorsOf(
  status: ISparkStatus,
  trans: TranslationBundle
): string | null {
  const { executors, executors_wanted: wanted, stage, master } = status;
  if (executors === undefined || /^local(\[|$)/.test(master ?? '')) {
    return null;
  }
  // A Spark Connect server has the executors, and tells nobody.
  const isTold = !master?.startsWith('sc://');
  const isThere = ['executors', 'ready', 'returning'].includes(stage);
  return isTold && (isThere || wanted) ? ofWanted(status, trans) : null;
}

/**
 * Say how long each step of the start took.
 */
function stepsText(
  { stages = {} }: ISparkStatus,
  trans: TranslationBundle
): string {
  const names: Record<string, string> = {
    jvm: trans.__('JVM'),
    connecting: trans.__('connecting'),
    executors: trans.__('executors')
  };
  // A stage ends where the next one begins.
  const begun = Object.entries(stages).sort((one, two) => one[1] - two[1]);
  return begun
    .slice(0, -1)
    .map(([stage, at], number) => ({ stage, took: begun[number + 1][1] - at }))
    .filter(({ stage }) => STEPS.includes(stage))
    .map(({ stage, took }) =>
      trans.__('%1 %2 s', names[stage], took.toFixed(1))
    )
    .join(', ');
}

function coresText(cores: number, trans: TranslationBundle): string {
  return trans._n('%1 core', '%1 cores', cores);
}

function memoryText(mib: number): string {
  return bytesText(mib * MIB);
}

function duration(seconds: number, trans: TranslationBundle): string {
  return seconds < 60
    ? trans.__('%1 s', Math.round(seconds))
    : trans.__('%1 min', Math.round(seconds / 60));
}
