/**
 * What Spark works on, as the kernel's launcher tells it; purely.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

/**
 * How many tasks there are, and how far they are.
 */
export interface ITasks {
  done: number;
  running: number;
  failed: number;
  all: number;
}

/**
 * A stage of a job. Times are milliseconds by the clock of the kernel's machine.
 */
export interface IStage {
  id: number;
  name: string;
  state:
    'waiting' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'skipped';
  tasks: ITasks;
  submitted: number | null;
  ended: number | null;
}

/**
 * A job of Spark, or an operation of a Spark Connect server.
 */
export interface IJob {
  id: number | string;
  name: string;
  /** The id of the message that ran the cell that began it. */
  cell: string | null;
  /** The id of that cell in its notebook. */
  cell_id: string | null;
  state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  tasks: ITasks;
  stages: IStage[];
  submitted: number;
  ended: number | null;
}

/**
 * All that runs.
 */
export interface IRunning {
  jobs: number;
  stages: number;
  tasks: ITasks;
}

/**
 * What the launcher tells.
 */
export interface IActivity {
  /** Null when nothing runs. */
  running: IRunning | null;
  /** The newest jobs. */
  jobs: IJob[];
  /** How many older ones there are. */
  more: number;
  /** When it was told, by the clock of the kernel's machine. */
  at: number;
}

/**
 * What is shorter is not worth a line that comes and goes.
 */
const WORTH_MS = 500;

/**
 * Tell whether a job runs.
 */
export function runs({ state }: Pick<IJob, 'state'>): boolean {
  return state === 'running';
}

/**
 * Give the jobs of the newest run of a cell, the oldest first.
 *
 * @param past - runs that are over: the messages by which the cell was run.
 */
export function jobsOf(
  activity: IActivity,
  cell: string,
  past: ReadonlySet<string | null>
): IJob[] {
  const ofCell = activity.jobs
    .filter(job => job.cell_id === cell && !past.has(job.cell))
    .sort((one, other) => one.submitted - other.submitted);
  const newest = ofCell[ofCell.length - 1];
  return ofCell.filter(job => job.cell === newest.cell);
}

/**
 * Put what was known of a cell's jobs together with what is told now.
 *
 * The launcher tells of the newest jobs, and always of those that run: one that ran and is not among
 * them went with its Spark.
 */
export function joined(known: IJob[], told: IJob[]): IJob[] {
  const jobs = new Map<IJob['id'], IJob>();
  for (const job of known) {
    if (!runs(job) && (told.length === 0 || told[0].cell === job.cell)) {
      jobs.set(job.id, job);
    }
  }
  told.forEach(job => jobs.set(job.id, job));
  return [...jobs.values()];
}

/**
 * Say from when to when a cell's jobs ran, in milliseconds.
 */
export function spanOf(jobs: IJob[], now: number): number {
  const begin = Math.min(...jobs.map(job => job.submitted));
  const end = Math.max(...jobs.map(job => job.ended ?? now));
  return Math.max(0, end - begin);
}

/**
 * Tell whether jobs take long enough to be shown.
 */
export function areWorthShowing(jobs: IJob[], now: number): boolean {
  return jobs.length > 0 && spanOf(jobs, now) >= WORTH_MS;
}

/**
 * Sum up the tasks of jobs.
 */
export function tasksOf(jobs: Pick<IJob, 'tasks'>[]): ITasks {
  const sum = { done: 0, running: 0, failed: 0, all: 0 };
  for (const { tasks } of jobs) {
    sum.done += tasks.done;
    sum.running += tasks.running;
    sum.failed += tasks.failed;
    sum.all += tasks.all;
  }
  return sum;
}

/**
 * Say in one line how far jobs are, or what came of them.
 */
export function summaryOf(
  jobs: IJob[],
  now: number,
  trans: TranslationBundle
): string {
  const tasks = tasksOf(jobs);
  const count = trans._n('Spark: %1 job', 'Spark: %1 jobs', jobs.length);
  return [
    count,
    jobs.some(runs) ? tasksText(tasks, trans) : allText(tasks, trans),
    durationText(spanOf(jobs, now), trans)
  ].join(', ');
}

/**
 * Say what went wrong in jobs; nothing where nothing did.
 */
export function troubleOf(jobs: IJob[], trans: TranslationBundle): string {
  const count = (state: IJob['state']): number =>
    jobs.filter(job => job.state === state).length;
  const [failed, cancelled] = [count('failed'), count('cancelled')];
  const parts = [
    failed && trans._n('%1 job failed', '%1 jobs failed', failed),
    cancelled && trans._n('%1 job cancelled', '%1 jobs cancelled', cancelled),
    failedText(tasksOf(jobs), trans)
  ];
  return parts.filter(Boolean).join(', ');
}

/**
 * Say how many tasks are done.
 */
export function tasksText(tasks: ITasks, trans: TranslationBundle): string {
  return trans._n('%2 of %1 task', '%2 of %1 tasks', tasks.all, tasks.done);
}

function allText(tasks: ITasks, trans: TranslationBundle): string {
  return tasks.done === tasks.all
    ? trans._n('%1 task', '%1 tasks', tasks.all)
    : tasksText(tasks, trans);
}

function failedText({ failed }: ITasks, trans: TranslationBundle): string {
  return failed ? trans._n('%1 task failed', '%1 tasks failed', failed) : '';
}

/**
 * Say how long something takes, or took.
 */
export function durationText(ms: number, trans: TranslationBundle): string {
  if (ms < 950) {
    return trans.__('%1 s', (Math.max(ms, 50) / 1000).toFixed(1));
  }
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) {
    return trans.__('%1 s', seconds);
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? trans.__('%1 min %2 s', minutes, seconds % 60)
    : trans.__('%1 h %2 min', Math.floor(minutes / 60), minutes % 60);
}

/**
 * Say what state a job or a stage is in.
 */
export function stateText(
  state: IJob['state'] | IStage['state'],
  trans: TranslationBundle
): string {
  switch (state) {
    case 'running':
      return trans.__('running');
    case 'succeeded':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
    case 'cancelled':
      return trans.__('cancelled');
    case 'skipped':
      return trans.__('skipped');
    case 'waiting':
      return trans.__('waiting');
  }
}

/**
 * Name a job.
 */
export function jobName({ id, name }: IJob, trans: TranslationBundle): string {
  // An operation has a long id and no name.
  const shown = String(id).slice(0, 8);
  return name
    ? trans.__('Job %1: %2', shown, name)
    : trans.__('Operation %1', shown);
}

/**
 * Name a stage.
 */
export function stageName(
  { id, name }: IStage,
  trans: TranslationBundle
): string {
  return name ? trans.__('Stage %1: %2', id, name) : trans.__('Stage %1', id);
}

/**
 * What a notebook keeps of jobs: an output of the cell, as nbformat has it.
 */
export function outputOf(
  jobs: IJob[],
  now: number,
  trans: TranslationBundle
): { output_type: string; data: Record<string, string>; metadata: object } {
  const trouble = troubleOf(jobs, trans);
  const summary = summaryOf(jobs, now, trans) + (trouble && ` (${trouble})`);
  const head = [
    trans.__('Job'),
    trans.__('State'),
    trans.__('Tasks'),
    trans.__('Failed tasks'),
    trans.__('Time')
  ];
  const rows = jobs.map(job => [
    jobName(job, trans),
    stateText(job.state, trans),
    tasksText(job.tasks, trans),
    String(job.tasks.failed),
    durationText(spanOf([job], now), trans)
  ]);
  const text = [summary, ...rows.map(row => row.join(' | '))].join('\n');
  return {
    output_type: 'display_data',
    data: { 'text/plain': text, 'text/html': table(summary, head, rows) },
    metadata: {}
  };
}

function table(caption: string, head: string[], rows: string[][]): string {
  // The document escapes what is in a name.
  const element = document.createElement('table');
  element.createCaption().textContent = caption;
  const titles = element.createTHead().insertRow();
  for (const title of head) {
    const cell = document.createElement('th');
    cell.scope = 'col';
    cell.textContent = title;
    titles.append(cell);
  }
  const body = element.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach(text => (line.insertCell().textContent = text));
  }
  return element.outerHTML;
}
