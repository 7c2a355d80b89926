import type { Flight, KernelConfig, Task } from '../api';
import { type ITaskServices, type ITaskView, TaskModel } from '../tasks/model';
import { shownTasks } from '../tasks/shown';

/**
 * A test that has come to a result.
 */
export interface ITested {
  task: Task;
  flight: Flight;
  /** What was tested. */
  config: KernelConfig;
}

/**
 * The flight test of a kernel that is described in a dialog and not written.
 *
 * Its result is of use to nobody but the dialog, so it is cancelled when that is closed.
 */
export class Trial {
  /**
   * @param onChanged - is called when there is something else to show.
   */
  constructor(
    private readonly _services: ITaskServices,
    private readonly _onChanged: () => void
  ) {}

  /**
   * Whether a test has been asked for and goes on.
   */
  get isRunning(): boolean {
    return this._isBeginning || this._task !== null;
  }

  /**
   * How far the test is; null when none goes on.
   */
  get task(): ITaskView | null {
    return this._task?.view ?? null;
  }

  /**
   * What came of the last test; null when nothing has, or nobody wants to see it any more.
   */
  get tested(): ITested | null {
    return this._tested;
  }

  /**
   * Test a kernel, unless one is being tested.
   *
   * @returns how its task ended; null when it was given up.
   * @throws whatever is wrong with the request.
   */
  async run(config: KernelConfig): Promise<ITaskView | null> {
    if (this.isRunning) {
      return null;
    }
    this._isBeginning = true;
    this.forget();
    let task: TaskModel;
    try {
      task = await shownTasks.during(
        async () =>
          new TaskModel(
            this._services,
            await this._services.api.testDraft(config)
          )
      );
    } finally {
      this._isBeginning = false;
      this._onChanged();
    }
    if (this._isDisposed) {
      void abandon(task);
      return null;
    }
    return this._follow(task, config);
  }

  /**
   * Tell the test to stop.
   */
  readonly cancel = (): void => void this._task?.cancel();

  /**
   * Show the last result no longer.
   */
  readonly forget = (): void => {
    this._tested = null;
    this._onChanged();
  };

  dispose(): void {
    this._isDisposed = true;
    if (this._task) {
      void abandon(this._task);
      this._task = null;
    }
  }

  private async _follow(
    task: TaskModel,
    config: KernelConfig
  ): Promise<ITaskView | null> {
    this._task = task;
    task.stateChanged.connect(this._onChanged);
    this._onChanged();
    await task.ended;
    if (this._isDisposed) {
      return null;
    }
    const { view } = task;
    const { flight } = view.task;
    this._task = null;
    this._tested = flight && { task: view.task, flight, config };
    task.dispose();
    this._onChanged();
    return view;
  }

  private _task: TaskModel | null = null;
  private _tested: ITested | null = null;
  private _isBeginning = false;
  private _isDisposed = false;
}

/**
 * Stop a test that nobody waits for. It counts as shown until it has ended, so that no notification
 * tells of it.
 */
async function abandon(task: TaskModel): Promise<void> {
  if (task.isRunning) {
    await task.cancel();
    await task.ended;
  }
  task.dispose();
}
