/**
 * Draws Spark's progress under a cell.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import {
  caretDownIcon,
  caretRightIcon,
  ReactWidget
} from '@jupyterlab/ui-components';
import * as React from 'react';
import '../../style/progress.css';
import {
  durationText,
  type IJob,
  type IStage,
  jobName,
  runs,
  spanOf,
  stageName,
  stateText,
  summaryOf,
  tasksOf,
  tasksText,
  troubleOf
} from './activity';

/**
 * The most jobs that are listed: nobody reads more.
 */
const LISTED = 20;

/**
 * What is drawn.
 */
export interface IProgress {
  /** The jobs of the cell, the oldest first; none while its place is only kept. */
  jobs: IJob[];
  isExpanded: boolean;
  /** Jobs that were asked to end. */
  cancelling: ReadonlySet<IJob['id']>;
  isKept: boolean;
}

/**
 * What a person can do.
 */
export interface IProgressActions {
  /** The time by the clock of the kernel's machine. */
  now: () => number;
  toggle: () => void;
  cancel: (id: IJob['id']) => void;
  keep: () => void;
}

/**
 * The progress of one cell.
 */
export class ProgressView extends ReactWidget {
  constructor(
    private readonly _progress: IProgress,
    private readonly _actions: IProgressActions,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-PySparkKernels-progress');
    // The keys of its buttons are not those of the notebook.
    this.node.dataset.lmSuppressShortcuts = 'true';
  }

  protected render(): JSX.Element | null {
    const { jobs } = this._progress;
    return jobs.length === 0 ? null : (
      <Progress
        id={this.id}
        progress={this._progress}
        actions={this._actions}
        trans={this._trans}
      />
    );
  }
}

interface IProgressProps {
  id: string;
  progress: IProgress;
  actions: IProgressActions;
  trans: TranslationBundle;
}

function Progress(props: IProgressProps): JSX.Element {
  const { id, progress, actions, trans } = props;
  const { jobs, isExpanded, isKept } = progress;
  const isRunning = jobs.some(runs);
  const trouble = troubleOf(jobs, trans);
  const caret = isExpanded ? caretDownIcon : caretRightIcon;
  const list = `${id}-jobs`;
  return (
    <div role="group" aria-label={trans.__('Spark’s progress')}>
      <div className="jp-PySparkKernels-progressLine">
        <button
          type="button"
          className="jp-PySparkKernels-progressToggle"
          aria-expanded={isExpanded}
          aria-controls={isExpanded ? list : undefined}
          onClick={actions.toggle}
        >
          <caret.react tag="span" aria-hidden />
          <span>
            {summaryOf(jobs, actions.now(), trans)}
            {trouble && (
              <span className="jp-PySparkKernels-trouble">{`, ${trouble}`}</span>
            )}
          </span>
        </button>
        {isRunning ? (
          <Bar
            label={trans.__('Tasks of this cell')}
            item={{ state: 'running', tasks: tasksOf(jobs) }}
            trans={trans}
          />
        ) : (
          <button
            type="button"
            className="jp-PySparkKernels-small"
            aria-disabled={isKept}
            onClick={() => !isKept && actions.keep()}
          >
            {isKept
              ? trans.__('Kept in the notebook')
              : trans.__('Keep in notebook')}
          </button>
        )}
      </div>
      {isExpanded && <Jobs {...props} list={list} />}
    </div>
  );
}

function Jobs(props: IProgressProps & { list: string }): JSX.Element {
  const { list, progress, actions, trans } = props;
  const { jobs, cancelling } = progress;
  // What runs, and what is new.
  const shown = jobs.filter(
    (job, index) => runs(job) || index >= jobs.length - LISTED
  );
  const hidden = jobs.length - shown.length;
  return (
    <ul id={list} className="jp-PySparkKernels-jobs">
      {hidden > 0 && (
        <li>{trans._n('%1 earlier job', '%1 earlier jobs', hidden)}</li>
      )}
      {shown.map(job => (
        <li key={job.id}>
          <Line item={job} name={jobName(job, trans)} {...props}>
            {runs(job) && (
              <Cancel
                name={jobName(job, trans)}
                isAsked={cancelling.has(job.id)}
                run={() => actions.cancel(job.id)}
                trans={trans}
              />
            )}
          </Line>
          {(runs(job) || jobs.length === 1 || job.state === 'failed') && (
            <ul>
              {job.stages.map(stage => (
                <li key={stage.id}>
                  <Line
                    item={stage}
                    name={stageName(stage, trans)}
                    {...props}
                  />
                </li>
              ))}
            </ul>
          )}
        </li>
      ))}
    </ul>
  );
}

interface ILineProps {
  item: IJob | IStage;
  name: string;
  actions: IProgressActions;
  trans: TranslationBundle;
  children?: React.ReactNode;
}

function Line(props: ILineProps): JSX.Element {
  const { item, name, actions, trans, children } = props;
  const { submitted, ended, state, tasks } = item;
  const failed = tasks.failed && trans.__('%1 failed', tasks.failed);
  const took =
    submitted === null || (ended === null && state !== 'running')
      ? ''
      : durationText(spanOf([item as IJob], actions.now()), trans);
  return (
    <div className="jp-PySparkKernels-jobLine" data-state={state}>
      <span className="jp-PySparkKernels-jobName" title={name}>
        {name}
      </span>
      <Bar label={name} item={item} trans={trans} />
      <span className="jp-PySparkKernels-jobTasks">
        {tasksText(tasks, trans)}
        {failed !== 0 && (
          <span className="jp-PySparkKernels-trouble">{`, ${failed}`}</span>
        )}
      </span>
      <span className="jp-PySparkKernels-jobTime">{took}</span>
      <span className="jp-PySparkKernels-jobState">
        {children || stateText(state, trans)}
      </span>
    </div>
  );
}

interface IBarProps {
  label: string;
  item: Pick<IJob | IStage, 'state' | 'tasks'>;
  trans: TranslationBundle;
}

function Bar({ label, item, trans }: IBarProps): JSX.Element {
  const { done, running, all } = item.tasks;
  const percent = (tasks: number): number =>
    all > 0 ? Math.min(100, Math.round((100 * tasks) / all)) : 0;
  return (
    <div
      className="jp-PySparkKernels-taskBar"
      data-state={item.state}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent(done)}
      aria-valuetext={tasksText(item.tasks, trans)}
    >
      <div style={{ width: `${percent(done)}%` }} />
      <div
        className="jp-mod-running"
        style={{ width: `${percent(done + running) - percent(done)}%` }}
      />
    </div>
  );
}

interface ICancelProps {
  name: string;
  isAsked: boolean;
  run: () => void;
  trans: TranslationBundle;
}

function Cancel({ name, isAsked, run, trans }: ICancelProps): JSX.Element {
  const label = isAsked ? trans.__('Cancelling…') : trans.__('Cancel');
  return (
    <button
      type="button"
      className="jp-PySparkKernels-small"
      aria-label={`${label} ${name}`}
      aria-disabled={isAsked}
      onClick={() => !isAsked && run()}
    >
      {label}
    </button>
  );
}
