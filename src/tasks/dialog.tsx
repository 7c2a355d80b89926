/**
 * The dialog that lists long work. It is loaded when it is first opened.
 */

import type { Event } from '@jupyterlab/services';
import { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { Task } from '../api';
import { explain } from '../explain';
import { type ITaskServices, TaskModel } from './model';
import { TASK_EVENT } from './shown';
import { TaskView } from './view';
import { ViewDialog } from './viewdialog';

/**
 * Show the tasks that run and that have ended lately.
 *
 * @param id - show this one and its log, and no other.
 */
export async function showTasksDialog(
  services: ITaskServices,
  id: string | null
): Promise<void> {
  const { api, trans } = services;
  const tasks = id === null ? await api.tasks() : [await api.task(id)];
  const model = new TaskListModel(services, tasks, id);
  const title = trans.__('PySpark Tasks');
  await new ViewDialog(title, trans, new TaskList(model)).launch();
}

/**
 * The tasks of the dialog, and those that begin while it is open.
 */
class TaskListModel extends VDomModel {
  constructor(
    readonly services: ITaskServices,
    tasks: readonly Task[],
    readonly only: string | null
  ) {
    super();
    this._models = tasks.map(task => new TaskModel(services, task));
    services.events.stream.connect(this._onEvent, this);
  }

  get models(): readonly TaskModel[] {
    return this._models;
  }

  /**
   * Why newer tasks are not listed; null when all is well.
   */
  get problem(): string | null {
    return this._problem;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    super.dispose();
    this.services.events.stream.disconnect(this._onEvent, this);
    for (const model of this._models) {
      model.dispose();
    }
  }

  private _onEvent(_: Event.IManager, event: Event.Emission): void {
    const { id } = event;
    const isNew =
      event.schema_id === TASK_EVENT &&
      this.only === null &&
      typeof id === 'string' &&
      !this._asked.has(id) &&
      !this._models.some(({ task }) => task.id === id);
    if (isNew) {
      this._asked.add(id);
      void this._add(id);
    }
  }

  private async _add(id: string): Promise<void> {
    const { api, trans } = this.services;
    try {
      const task = await api.task(id);
      if (this.isDisposed) {
        return;
      }
      this._models = [new TaskModel(this.services, task), ...this._models];
      this._problem = null;
    } catch (error) {
      this._problem = explain(error, trans);
    }
    this._asked.delete(id);
    this.stateChanged.emit();
  }

  private _models: TaskModel[];
  private _problem: string | null = null;
  private readonly _asked = new Set<string>();
}

class TaskList extends VDomRenderer<TaskListModel> {
  protected render(): JSX.Element {
    const { models, problem, only, services } = this.model;
    const { trans } = services;
    return (
      <div className="jp-PySparkKernels-scroll">
        {problem && <p role="alert">{problem}</p>}
        {models.length === 0 && (
          <p>
            {trans.__(
              'Nothing is being done, and nothing was lately. Packing an environment for the executors and installing ipykernel appear here.'
            )}
          </p>
        )}
        <ul className="jp-PySparkKernels-tasks">
          {models.map(model => (
            <li key={model.task.id}>
              <TaskView model={model} trans={trans} showsLog={only !== null}>
                <Ended task={model.task} />
              </TaskView>
            </li>
          ))}
        </ul>
      </div>
    );
  }
}

/**
 * When a task ended, as the person's own clock and language have it.
 */
function Ended({ task }: { task: Task }): JSX.Element | null {
  return task.ended ? (
    <time dateTime={task.ended}>
      {new Date(task.ended).toLocaleString(undefined, {
        dateStyle: 'medium',
        timeStyle: 'short'
      })}
    </time>
  ) : null;
}
