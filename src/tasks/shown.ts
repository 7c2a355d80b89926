import type { Task } from '../api';

/**
 * The event that the server emits when a task has got further.
 */
export const TASK_EVENT =
  'https://events.jupyter.org/jupyterlab_pyspark_kernels/task/v1';

/**
 * What the event tells of a task.
 */
export type TaskState = Pick<
  Task,
  | 'id'
  | 'title'
  | 'state'
  | 'stage'
  | 'files_done'
  | 'files_total'
  | 'bytes_done'
  | 'bytes_total'
>;

/**
 * The tasks of this window that a dialog shows, so that no notification need show them.
 */
export class ShownTasks {
  /**
   * Is called when more or less is shown than before; with the task that a dialog has let go of.
   */
  onChanged: (released: TaskState | null) => void = () => undefined;

  /**
   * Whether a dialog shows a task, or perhaps will: the event of a task can be here before the
   * answer to the request that began it.
   */
  has(id: string): boolean {
    return this._awaited > 0 || this._shown.has(id);
  }

  /**
   * Send a request that may begin a task, and take its answer.
   */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this._awaited++;
    try {
      return await work();
    } finally {
      this._awaited--;
      this.onChanged(null);
    }
  }

  /**
   * Take note that a dialog shows a task.
   */
  show(id: string): void {
    this._shown.set(id, (this._shown.get(id) ?? 0) + 1);
    this.onChanged(null);
  }

  /**
   * Take note that a dialog no longer shows a task, or never did.
   */
  release(task: TaskState): void {
    const others = (this._shown.get(task.id) ?? 0) - 1;
    if (others > 0) {
      this._shown.set(task.id, others);
    } else {
      this._shown.delete(task.id);
      this.onChanged(task);
    }
  }

  private readonly _shown = new Map<string, number>();
  private _awaited = 0;
}

/**
 * Those of this window.
 */
export const shownTasks = new ShownTasks();
