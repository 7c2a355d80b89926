import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Event, Session } from '@jupyterlab/services';
import { VDomModel } from '@jupyterlab/ui-components';
import { Debouncer } from '@lumino/polling';
import type { Kernel, KernelAddress, Place, Task } from '../api';
import { explain } from '../explain';
import { changesKernels } from '../refresh';
import { type ITaskServices, TaskModel } from '../tasks/model';
import { shownTasks, TASK_EVENT } from '../tasks/shown';
import { type Column, type ISort, keyOf, matching, sorted } from './rows';

/**
 * Several changes within this time are listed once.
 */
const RELOAD_DELAY_MS = 100;

/**
 * What the panel works with.
 */
export interface IManagerServices extends ITaskServices {
  commands: JupyterFrontEnd['commands'];
  sessions: Session.IManager;
  shell: JupyterFrontEnd['shell'];
}

/**
 * The kernels, as the panel shows them.
 */
export class ManagerModel extends VDomModel {
  constructor(readonly services: IManagerServices) {
    super();
    services.events.stream.connect(this._onEvent, this);
  }

  /**
   * All kernels; null until they were listed for the first time.
   */
  get kernels(): readonly Kernel[] | null {
    return this._kernels;
  }

  /**
   * The kernels that are searched for, in their order.
   */
  get rows(): readonly Kernel[] {
    return this._rows;
  }

  get places(): readonly Place[] {
    return this._places;
  }

  /**
   * Why the newest list is not there; null when all is well.
   */
  get problem(): string | null {
    return this._problem;
  }

  get isLoading(): boolean {
    return this._loads > 0;
  }

  get search(): string {
    return this._search;
  }

  set search(search: string) {
    this._search = search;
    this._arrange();
  }

  get sort(): ISort {
    return this._sort;
  }

  /**
   * The key of the row that the keyboard is at; null when there is none.
   */
  get current(): string | null {
    return this._current;
  }

  set current(key: string | null) {
    if (key !== this._current) {
      this._current = key;
      this.stateChanged.emit();
    }
  }

  /**
   * Sort by a column, and the other way round the second time.
   */
  sortBy(column: Column): void {
    const { column: old, descending } = this._sort;
    this._sort = { column, descending: column === old && !descending };
    this._arrange();
  }

  /**
   * Find a kernel of the list.
   */
  find(address: KernelAddress): Kernel | undefined {
    return this._kernels?.find(kernel => keyOf(kernel) === keyOf(address));
  }

  /**
   * The last test of a kernel that this window knows in full; it may still run.
   */
  testOf(key: string): TaskModel | null {
    return this._tests.get(key) ?? null;
  }

  /**
   * List the kernels anew.
   */
  async load(): Promise<void> {
    const { api, trans } = this.services;
    if (this.isDisposed) {
      return;
    }
    const round = ++this._round;
    this._loads++;
    this.stateChanged.emit();
    try {
      const [kernels, form, tasks] = await Promise.all([
        api.kernels(),
        api.form(),
        api.tasks()
      ]);
      if (round === this._round && !this.isDisposed) {
        this._kernels = kernels;
        this._places = form.places;
        this._problem = null;
        this._reveal();
        this._followTests(tasks);
      }
    } catch (error) {
      if (round === this._round) {
        this._problem = explain(error, trans);
      }
    } finally {
      this._loads--;
    }
    this._arrange();
  }

  /**
   * Go to a kernel that is there only now, as soon as it is listed.
   */
  async goTo(kernel: KernelAddress): Promise<void> {
    this._wanted = keyOf(kernel);
    await this.load();
  }

  /**
   * Take note that the panel can be seen, or not. Notifications show the tests that it does not.
   */
  set isShown(isShown: boolean) {
    this._isShown = isShown;
    if (isShown) {
      void this.load();
      return;
    }
    for (const [key, test] of this._tests) {
      if (test.isRunning) {
        this._tests.delete(key);
        test.dispose();
      }
    }
  }

  /**
   * Let a kernel fly for a trial; its row shows how far it is.
   */
  async test({ place, name }: KernelAddress): Promise<void> {
    await shownTasks.during(async () => {
      const task = await this.services.api.test(place, name);
      this._follow(keyOf({ place, name }), task);
    });
    this.stateChanged.emit();
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._isShown = false;
    this.services.events.stream.disconnect(this._onEvent, this);
    this._reload.dispose();
    super.dispose();
    for (const test of this._tests.values()) {
      test.dispose();
    }
  }

  private _onEvent(_: Event.IManager, event: Event.Emission): void {
    const isNewTask =
      event.schema_id === TASK_EVENT && !this._heard.has(String(event.id));
    if (isNewTask) {
      this._heard.add(String(event.id));
    }
    if (isNewTask || changesKernels(event)) {
      void this._reload.invoke().catch(() => undefined);
    }
  }

  /**
   * Show the newest test of each kernel, whoever began it.
   *
   * @param tasks - the newest first.
   */
  private _followTests(tasks: readonly Task[]): void {
    const newest = new Map<string, Task>();
    for (const task of tasks) {
      const isTest = task.kind === 'test' && task.kernel !== null;
      const key = isTest && task.kernel ? keyOf(task.kernel) : '';
      if (isTest && !newest.has(key)) {
        newest.set(key, task);
      }
    }
    for (const [key, task] of newest) {
      this._follow(key, task);
    }
  }

  private _follow(key: string, task: Task): void {
    const old = this._tests.get(key);
    if (old?.task.id === task.id) {
      return;
    }
    const model = new TaskModel(this.services, task);
    if (!this._isShown) {
      model.dispose();
      return;
    }
    old?.dispose();
    this._tests.set(key, model);
  }

  /**
   * Go to the kernel that was asked for, now that the newest list is there. An older list, which an
   * event may have asked for, would not have it yet.
   */
  private _reveal(): void {
    const wanted = this._kernels?.find(
      kernel => keyOf(kernel) === this._wanted
    );
    this._wanted = null;
    if (wanted) {
      this._current = keyOf(wanted);
      if (matching([wanted], this._search, this._places).length === 0) {
        this._search = '';
      }
    }
  }

  /**
   * Search and sort what is listed. The keyboard stays at its kernel; when that is gone, it goes to
   * the one that has taken its place.
   */
  private _arrange(): void {
    if (this.isDisposed) {
      return;
    }
    const before = this._rows.findIndex(row => keyOf(row) === this._current);
    const found = matching(this._kernels ?? [], this._search, this._places);
    this._rows = sorted(found, this._sort);
    const isThere = this._rows.some(row => keyOf(row) === this._current);
    if (!isThere) {
      const index = Math.min(Math.max(before, 0), this._rows.length - 1);
      this._current = index < 0 ? null : keyOf(this._rows[index]);
    }
    this.stateChanged.emit();
  }

  private readonly _reload = new Debouncer(() => this.load(), RELOAD_DELAY_MS);
  private readonly _tests = new Map<string, TaskModel>();
  /** The tasks that were heard of. */
  private readonly _heard = new Set<string>();
  private _kernels: readonly Kernel[] | null = null;
  private _rows: readonly Kernel[] = [];
  private _places: readonly Place[] = [];
  private _problem: string | null = null;
  private _search = '';
  private _sort: ISort = { column: 'kernel', descending: false };
  private _current: string | null = null;
  /** The key of a kernel that is to be gone to as soon as it is listed. */
  private _wanted: string | null = null;
  private _isShown = false;
  private _loads = 0;
  private _round = 0;
}
