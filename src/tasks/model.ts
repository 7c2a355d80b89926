import type { Event } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';
import { PromiseDelegate } from '@lumino/coreutils';
import { Poll } from '@lumino/polling';
import { type Api, ApiError, type Task } from '../api';
import { explain } from '../explain';
import { shownTasks, TASK_EVENT, type TaskState } from './shown';

/**
 * How often a task that runs is asked for. Events come sooner, but do not have the log, and are
 * lost while the connection is.
 */
const POLL_MS = 2_000;
const POLL_MAX_MS = 30_000;
const GONE = 404;

/**
 * What a task model talks with.
 */
export interface ITaskServices {
  api: Api;
  events: Event.IManager;
  trans: TranslationBundle;
}

/**
 * What is drawn of a task; plain data.
 */
export interface ITaskView {
  task: Task;
  /** Why nothing newer is known; null when all is well. */
  problem: string | null;
  isRunning: boolean;
}

/**
 * A task that a dialog shows, from its beginning or later to its end.
 */
export class TaskModel extends VDomModel {
  constructor(services: ITaskServices, task: Task) {
    super();
    this._services = services;
    this._task = task;
    shownTasks.show(task.id);
    services.events.stream.connect(this._onEvent, this);
    if (this.isRunning) {
      void this._poll.start();
    } else {
      this._ended.resolve();
    }
  }

  get task(): Task {
    return this._task;
  }

  /**
   * Whether the task goes on, as far as anybody knows.
   */
  get isRunning(): boolean {
    return this._task.state === 'running' && !this._isGone;
  }

  get view(): ITaskView {
    const { task, isRunning } = this;
    return { task, isRunning, problem: this._problem };
  }

  /**
   * Wait until the task does not run any more, or nobody looks at it.
   */
  get ended(): Promise<void> {
    return this._ended.promise;
  }

  /**
   * Tell the task to stop. It ends a moment later.
   */
  async cancel(): Promise<void> {
    await this._try(() => this._services.api.cancel(this._task.id));
    this._askNow();
  }

  /**
   * Let the task be done after all.
   */
  async resume(): Promise<void> {
    await this._try(async () => {
      this._take(await this._services.api.resume(this._task.id));
    });
    if (this.isRunning && !this.isDisposed) {
      this._ended = new PromiseDelegate();
      void this._poll.start();
    }
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._services.events.stream.disconnect(this._onEvent, this);
    this._poll.dispose();
    this._ended.resolve();
    super.dispose();
    shownTasks.release(this._task);
  }

  private _onEvent(_: Event.IManager, event: Event.Emission): void {
    if (event.schema_id !== TASK_EVENT || event.id !== this._task.id) {
      return;
    }
    const told = event as unknown as TaskState;
    if (told.state !== 'running') {
      this._askNow();
    } else if (this.isRunning) {
      this._heard++;
      this._task = { ...this._task, ...progressOf(told) };
      this.stateChanged.emit();
    } else {
      // Another window has taken it up again.
      this._ended = new PromiseDelegate();
      void this._poll.start();
    }
  }

  private _askNow(): void {
    if (!this.isDisposed) {
      void this._poll.refresh();
    }
  }

  private async _ask(): Promise<void> {
    const { api } = this._services;
    const failure = await this._try(async () => {
      const heard = this._heard;
      const task = await api.task(this._task.id);
      // An event that came after the question is newer than the answer.
      const isOlder = heard !== this._heard && task.state === 'running';
      this._take(isOlder ? { ...task, ...progressOf(this._task) } : task);
    });
    if (failure) {
      // The poll waits longer the next time.
      throw failure;
    }
  }

  /**
   * Take what the server says of the task, unless it is of the time before it was taken up again.
   */
  private _take(task: Task): void {
    if (this.isDisposed || task.started < this._task.started) {
      return;
    }
    this._task = task;
    this._isGone = false;
    if (!this.isRunning) {
      this._end();
    }
  }

  private _end(): void {
    void this._poll.stop();
    this._ended.resolve();
  }

  /**
   * Ask the server, and keep what is wrong when it does not do it.
   */
  private async _try(work: () => Promise<void>): Promise<unknown> {
    let failure: unknown = null;
    try {
      await work();
      this._problem = null;
    } catch (error) {
      failure = error;
      this._problem = this._explain(error);
    }
    if (!this.isDisposed) {
      if (this._isGone) {
        this._end();
      }
      this.stateChanged.emit();
    }
    return failure;
  }

  private _explain(error: unknown): string {
    const { trans } = this._services;
    if (error instanceof ApiError && error.status === GONE) {
      this._isGone = true;
      return trans.__(
        'The server does not know of this work any more. Look whether the kernel is there, or begin again.'
      );
    }
    return error instanceof ApiError && error.errors.length > 0
      ? error.message
      : explain(error, trans);
  }

  private readonly _services: ITaskServices;
  private readonly _poll = new Poll({
    auto: false,
    factory: () => this._ask(),
    frequency: { interval: POLL_MS, backoff: true, max: POLL_MAX_MS },
    name: 'jupyterlab-pyspark-kernels:task'
  });
  private _task: Task;
  private _problem: string | null = null;
  private _isGone = false;
  /** Counts the events. */
  private _heard = 0;
  private _ended = new PromiseDelegate<void>();
}

function progressOf(state: TaskState) {
  const { stage, files_done, files_total, bytes_done, bytes_total } = state;
  return { stage, files_done, files_total, bytes_done, bytes_total };
}
