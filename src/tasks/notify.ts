/**
 * The notifications of long work. They are loaded when a task is first heard of.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { announceChanged, announceCreated, NEWS_MS } from '../announce';
import { Api, type Task } from '../api';
import { explain } from '../explain';
import { shownTasks, type TaskState } from './shown';
import { endText, fractionOf, progressText } from './texts';

export interface INotifierOptions {
  server: ServerConnection.ISettings;
  commands: JupyterFrontEnd['commands'];
  trans: TranslationBundle;
  /** The command that shows tasks; takes the id of one. */
  showTasks: string;
}

/**
 * Shows each task that no dialog shows, as one notification.
 */
export class TaskNotifier {
  constructor(private readonly _options: INotifierOptions) {
    this._api = new Api(_options.server);
  }

  /**
   * Take what an event tells of a task.
   */
  hear(state: TaskState): void {
    if (this._told.has(state.id) && state.state !== 'running') {
      return;
    }
    this._told.delete(state.id);
    this._tasks.set(state.id, state);
    this._show(state);
  }

  /**
   * Take note that dialogs show more or less than before.
   *
   * @param released - a task that a dialog no longer shows. When it has ended, the dialog said so.
   */
  see(released: TaskState | null): void {
    if (released?.state === 'running') {
      this.hear(this._tasks.get(released.id) ?? released);
    } else if (released) {
      this._forget(released.id);
    }
    for (const state of this._tasks.values()) {
      this._show(state);
    }
  }

  private _show(state: TaskState): void {
    if (shownTasks.has(state.id)) {
      this._dismiss(state.id);
    } else if (state.state === 'running') {
      this._showRunning(state);
    } else {
      this._forget(state.id);
      void this._showEnd(state);
    }
  }

  private _showRunning(state: TaskState): void {
    const { trans } = this._options;
    const message = `${state.title}: ${progressText(state, trans)}`;
    const progress = fractionOf(state) ?? undefined;
    const note = this._notes.get(state.id);
    if (note !== undefined) {
      // Whoever has dismissed it hears of the end all the same.
      Notification.update({ id: note, message, progress });
      return;
    }
    const actions = [this._cancelAction(state), this._logAction(state)];
    const id = Notification.emit(message, 'in-progress', {
      autoClose: false,
      progress,
      actions
    });
    this._notes.set(state.id, id);
  }

  private async _showEnd(state: TaskState): Promise<void> {
    const { trans } = this._options;
    let task: Task | null = null;
    try {
      task = await this._api.task(state.id);
      if (await this._announce(task)) {
        return;
      }
    } catch (error) {
      console.warn('What became of the work is not known in full:', error);
    }
    if (task?.state === 'running' || this._tasks.has(state.id)) {
      // It was taken up again meanwhile.
      return;
    }
    const text = task
      ? endText(task, trans)
      : trans.__('It has ended. The log says more.');
    const message = `${state.title}: ${text}`;
    const log = this._logAction(state);
    switch (state.state) {
      case 'done':
        if (task?.flight?.passed === false) {
          Notification.error(message, { autoClose: false, actions: [log] });
          break;
        }
        Notification.success(message, { autoClose: NEWS_MS, actions: [log] });
        break;
      case 'cancelled':
        Notification.warning(message, {
          autoClose: NEWS_MS,
          actions: [this._resumeAction(state)]
        });
        break;
      default:
        Notification.emit(
          message,
          state.state === 'failed' ? 'error' : 'warning',
          { autoClose: false, actions: [this._resumeAction(state), log] }
        );
    }
  }

  /**
   * Tell of the kernel that a task has written, if it has. A test writes none.
   */
  private async _announce({ state, kind, kernel }: Task): Promise<boolean> {
    const { commands, trans } = this._options;
    if (state !== 'done' || !kernel || kind === 'test') {
      return false;
    }
    const written = await this._api.kernel(kernel.place, kernel.name);
    if (kind === 'create') {
      announceCreated(commands, trans, written);
    } else {
      announceChanged(trans, written);
    }
    return true;
  }

  private _cancelAction({ id }: TaskState): Notification.IAction {
    const { trans } = this._options;
    return {
      label: trans.__('Cancel'),
      callback: event => {
        // It stays until the task has ended.
        event.preventDefault();
        void this._orWarn(() => this._api.cancel(id));
      }
    };
  }

  private _resumeAction({ id }: TaskState): Notification.IAction {
    const { trans } = this._options;
    return {
      label: trans.__('Try again'),
      callback: () =>
        void this._orWarn(async () => this.hear(await this._api.resume(id)))
    };
  }

  private _logAction({ id }: TaskState): Notification.IAction {
    const { commands, trans, showTasks } = this._options;
    return {
      label: trans.__('Show log'),
      callback: event => {
        event.preventDefault();
        void commands.execute(showTasks, { id });
      }
    };
  }

  private async _orWarn(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      Notification.warning(explain(error, this._options.trans), {
        autoClose: NEWS_MS
      });
    }
  }

  private _forget(id: string): void {
    this._told.add(id);
    this._tasks.delete(id);
    this._dismiss(id);
  }

  private _dismiss(id: string): void {
    const note = this._notes.get(id);
    if (note !== undefined) {
      Notification.dismiss(note);
      this._notes.delete(id);
    }
  }

  private readonly _api: Api;
  private readonly _tasks = new Map<string, TaskState>();
  private readonly _notes = new Map<string, string>();
  /** Those whose end was said, here or in a dialog. */
  private readonly _told = new Set<string>();
}
