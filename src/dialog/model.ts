import type { Event } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Debouncer } from '@lumino/polling';
import {
  type Api,
  ApiError,
  type Effective,
  type Environment,
  type Environments,
  type Form,
  type Kernel,
  type KernelConfig,
  type Offers,
  type Place,
  type Preview,
  type Remark,
  type Task
} from '../api';
import { explain } from '../explain';
import { type ITested, Trial } from '../flight/trial';
import { type ITaskView, TaskModel } from '../tasks/model';
import { shownTasks } from '../tasks/shown';
import { CatalogueReader, type ICatalogueView } from './catalogue';
import { Figures, type IFiguresView, isAskedAbout } from './figures';
import { settled, withoutSettled } from './policy';
import {
  type IConfigSchema,
  missingFields,
  schemaDefaults,
  type Section,
  sectionOf,
  suggestedEnvironment,
  toConfig,
  toValues,
  type Values
} from './values';

const CHECK_DELAY_MS = 300;
const TAKEN = 409;

/**
 * The fields that can name a host. The cluster is asked about amounts while they are typed, but a
 * name that is half typed is another host's: of these fields only when they are left.
 */
const NAMING_HOSTS = ['master', 'conf', 'env'];

/**
 * The fields that no test depends on.
 */
const NAMES = ['display_name', 'name'];

/**
 * What a form is about and begins with.
 */
export interface IFormOptions {
  api: Api;
  events: Event.IManager;
  trans: TranslationBundle;
  form: Form;
  environments: Environments;
  /** What the user has set for all new kernels. */
  settings?: ReadonlyPartialJSONObject;
  /** What a command asks for this kernel; goes before the settings, and before what is stored. */
  args?: ReadonlyPartialJSONObject;
  /** The kernel to edit; without it the form is for a new one. */
  kernel?: Kernel;
}

/**
 * The state of the form, and its talk with the server.
 */
export class FormModel extends VDomModel {
  constructor(options: IFormOptions) {
    super();
    const { api, events, trans, form, environments, kernel } = options;
    this._api = api;
    this._events = events;
    this._environments = environments;
    this.trans = trans;
    this.schema = form.schema as unknown as IConfigSchema;
    this.uiSchema = form.uiSchema;
    this.places = form.places;
    this.offers = form.templates;
    this.kernel = kernel;
    this._catalogue = new CatalogueReader({ api, events, trans }, () => {
      // What is known now may be worth a hint.
      this._checkSoon();
      this.stateChanged.emit();
    });
    this._values = initialValues(options, this.schema);
    this._filled = Object.keys(toValues(options.args ?? {}, this.schema));
    this._figures = new Figures(api, trans, this._emit);
    this._trial = new Trial({ api, events, trans }, this._emit);
    this._isUnseen = this._filled.some(field => this._isAskedAbout(field));
    this._askCluster();
    this._checkSoon();
  }

  readonly trans: TranslationBundle;
  readonly schema: IConfigSchema;
  readonly uiSchema: Form['uiSchema'];
  readonly places: readonly Place[];
  readonly offers: Offers;
  readonly kernel: Kernel | undefined;

  /**
   * Whether a command has filled in what is folded away. A link in a notebook can be a command, and
   * nobody should create what they have not seen.
   */
  opens(section: Section): boolean {
    return this._filled.some(
      field => sectionOf(this.uiSchema[field]) === section
    );
  }

  get values(): Values {
    return this._values;
  }

  /**
   * What the server would have written for the last values that it took.
   */
  get preview(): Preview | null {
    return this._preview;
  }

  get environments(): readonly Environment[] {
    return this._environments.environments;
  }

  /**
   * Where environments were looked for in vain.
   */
  get unanswered(): readonly string[] {
    return this._environments.unanswered;
  }

  /**
   * The task that writes the kernel; null when there is none.
   */
  get writing(): ITaskView | null {
    return this._writing?.view ?? null;
  }

  /**
   * The task that makes an environment ready, or has tried to; null when there is none.
   */
  get readying(): ITaskView | null {
    return this._readying?.view ?? null;
  }

  /**
   * Whether the kernel is being written.
   */
  get isBusy(): boolean {
    return this._isBusy;
  }

  /**
   * The last attempt to write the kernel; its result is null when there was none, or it failed.
   */
  get submission(): Promise<Kernel | null> {
    return this._submission;
  }

  /**
   * What is wrong, field by field. Text that is being typed is not wrong yet.
   */
  get errors(): readonly Remark[] {
    return [...this._textErrors, ...this._serverErrors].filter(
      ({ field }) => field !== this._typing
    );
  }

  get advice(): readonly Remark[] {
    const { report } = this._figures.view;
    const outdated = this.kernel?.outdated;
    return [
      ...(outdated ? [{ field: 'template', message: outdated }] : []),
      ...this._changed(),
      ...(this._preview?.advice ?? []),
      ...(report?.fit?.advice ?? [])
    ];
  }

  /**
   * What the kernel's cluster has free.
   */
  get figures(): IFiguresView {
    return this._figures.view;
  }

  /**
   * Whether the kernel is being tested.
   */
  get isTesting(): boolean {
    return this._trial.isRunning;
  }

  /**
   * How far the test is; null when none goes on.
   */
  get testing(): ITaskView | null {
    return this._trial.task;
  }

  /**
   * What came of the last test; null when there is nothing to show.
   */
  get tested(): ITested | null {
    return this._trial.tested;
  }

  /**
   * Whether the last test was of other values than those that stand in the inputs.
   */
  get isTestOfOthers(): boolean {
    const { config } = this._inputs();
    const tested = this._trial.tested?.config;
    return tested !== undefined && testedPart(tested) !== testedPart(config);
  }

  /**
   * The settings that the chosen Spark knows, once they were read.
   */
  get catalogue(): ICatalogueView {
    return this._catalogue.view;
  }

  /**
   * Begin to read them, unless that was done.
   */
  readonly readSettings = (): void => {
    const { config } = this._inputs();
    const { environment, spark_home } = config;
    const found = this.environments.find(({ path }) => path === environment);
    const version = spark_home ? undefined : found?.packages.pyspark;
    void this._catalogue.read(config, version ?? '');
  };

  /**
   * Give what counts in the end of what stands in the form.
   */
  readonly loadEffective = (everything: boolean): Promise<Effective> =>
    this._api.effective(this._inputs().config, everything);

  /**
   * Take what stands in the inputs after one of them was changed.
   */
  change(values: Values, field: string): void {
    this._values =
      field === 'template' || field === 'choices'
        ? settled(
            values,
            this._values,
            this.offers.templates,
            schemaDefaults(this.schema)
          )
        : values;
    this._typing = field;
    this._textErrors = [
      ...this._textErrors.filter(error => error.field !== field),
      ...this._readErrors().filter(error => error.field === field)
    ];
    this._serverErrors = this._serverErrors.filter(
      error => error.field !== field && error.field !== ''
    );
    this._isUnseen = false;
    this._askCluster();
    this._checkSoon();
    this.stateChanged.emit();
  }

  /**
   * Take note that nobody types into a field any more, so that what is wrong with it can be said.
   */
  leave(): void {
    if (this._typing !== null) {
      this._typing = null;
      this._askCluster();
      this.stateChanged.emit();
    }
  }

  /**
   * Write the kernel, once however often it is asked for.
   */
  submit(): Promise<Kernel | null> {
    if (!this._isBusy) {
      this._submission = this._submit();
    }
    return this._submission;
  }

  /**
   * Test the kernel as it is described, without writing it.
   *
   * @returns whether the test has come to a result, or was cancelled.
   */
  async test(): Promise<boolean> {
    if (this._trial.isRunning) {
      return true;
    }
    const config = this._read();
    if (config === null) {
      return false;
    }
    try {
      const view = await this._trial.run(config);
      if (view && !view.task.flight) {
        this._blame(view);
      }
    } catch (error) {
      this._serverErrors = this._explain(error);
    }
    this.stateChanged.emit();
    return this.errors.length === 0;
  }

  readonly cancelTest = (): void => this._trial.cancel();

  readonly hideTest = (): void => this._trial.forget();

  /**
   * Tell the task that writes the kernel to stop.
   */
  readonly cancelWriting = (): void => void this._writing?.cancel();

  /**
   * Install into an environment what kernels need, and look again when that is done.
   */
  readonly makeReady = async (environment: string): Promise<void> => {
    if (this._readying?.isRunning) {
      return;
    }
    this._readying?.dispose();
    this._readying = null;
    try {
      await shownTasks.during(async () => {
        this._readying = this._watch(await this._api.makeReady(environment));
      });
    } catch (error) {
      this._serverErrors = this._explain(error, 'environment');
    }
    this.stateChanged.emit();
    await this._lookAgain();
  };

  readonly cancelReadying = (): void => void this._readying?.cancel();

  /**
   * Try once more to make an environment ready.
   */
  readonly resumeReadying = async (): Promise<void> => {
    await this._readying?.resume();
    await this._lookAgain();
  };

  /**
   * Leave alone what goes on: from now on it is shown elsewhere.
   */
  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._check.dispose();
    this._catalogue.dispose();
    this._figures.dispose();
    this._trial.dispose();
    super.dispose();
    this._writing?.dispose();
    this._readying?.dispose();
  }

  /**
   * Say of what a command has changed what is stored.
   */
  private _changed(): Remark[] {
    const { config } = this.kernel ?? {};
    const stored = config ? toValues(config, this.schema) : {};
    return this._filled
      .filter(field => config && this._values[field] !== stored[field])
      .map(field => ({
        field,
        message: stored[field]
          ? this.trans.__('Changed here; stored is %1.', stored[field])
          : this.trans.__('Changed here; nothing is stored.')
      }));
  }

  /**
   * Read the inputs for somebody who will say what is wrong with them; also what is being typed.
   *
   * @returns null when they cannot be sent at all.
   */
  private _read(): KernelConfig | null {
    const { config, errors } = this._inputs();
    this._typing = null;
    this._round++;
    this._textErrors = [
      ...missingFields(this._values, this.schema, this.trans),
      ...errors
    ];
    const isReadable = this._textErrors.length === 0;
    if (isReadable) {
      this._serverErrors = [];
    }
    this.stateChanged.emit();
    return isReadable ? config : null;
  }

  private async _submit(): Promise<Kernel | null> {
    const config = this._read();
    if (config === null) {
      return null;
    }
    this._isBusy = true;
    this.stateChanged.emit();
    try {
      return await this._write(config);
    } catch (error) {
      this._serverErrors = this._explain(error);
      return null;
    } finally {
      this._isBusy = false;
      this.stateChanged.emit();
    }
  }

  /**
   * Write the kernel, and wait for the task that does it, if it is one.
   */
  private async _write(config: KernelConfig): Promise<Kernel | null> {
    const kernel = await shownTasks.during(async () => {
      const { kernel, task } = await (this.kernel
        ? this._api.edit(this.kernel, config)
        : this._api.create(config));
      this._writing = task && this._watch(task);
      return kernel;
    });
    const writing = this._writing;
    if (writing === null) {
      return kernel;
    }
    this.stateChanged.emit();
    await writing.ended;
    if (this.isDisposed) {
      return null;
    }
    writing.dispose();
    this._writing = null;
    return this._outcome(writing.view);
  }

  /**
   * Give the kernel that a task has written, or keep what is to be said of its end.
   */
  private async _outcome(view: ITaskView): Promise<Kernel | null> {
    const { state, kernel } = view.task;
    if (state === 'done' && kernel) {
      return this._api.kernel(kernel.place, kernel.name);
    }
    this._blame(view);
    return null;
  }

  /**
   * Keep what is to be said of a task that came to nothing.
   */
  private _blame({ task, problem }: ITaskView): void {
    const { state, error } = task;
    if (error) {
      this._serverErrors = error.errors.map(remark => this._placed(remark, 0));
    } else if (state === 'interrupted' || problem !== null) {
      const message =
        problem ??
        this.trans.__(
          'The Jupyter server stopped before this was done. Begin again.'
        );
      this._serverErrors = [{ field: '', message }];
    }
  }

  /**
   * Follow a task while the dialog is open.
   */
  private _watch(task: Task): TaskModel {
    const { _api: api, _events: events, trans } = this;
    const model = new TaskModel({ api, events, trans }, task);
    if (this.isDisposed) {
      // The dialog was closed before the answer came.
      model.dispose();
    } else {
      model.stateChanged.connect(() => this.stateChanged.emit());
    }
    return model;
  }

  /**
   * Wait until an environment is ready, then list the environments anew and check again.
   */
  private async _lookAgain(): Promise<void> {
    const readying = this._readying;
    await readying?.ended;
    const { state } = readying?.task ?? {};
    if (this.isDisposed || readying !== this._readying || state !== 'done') {
      return;
    }
    try {
      const environments = await this._api.environments();
      if (this.isDisposed) {
        return;
      }
      this._environments = environments;
      readying?.dispose();
      this._readying = null;
    } catch (error) {
      this._serverErrors = this._explain(error);
    }
    this._checkSoon();
    this.stateChanged.emit();
  }

  private _inputs(): ReturnType<typeof toConfig> {
    return toConfig(this._values, this.schema, this.trans);
  }

  private _readErrors(): Remark[] {
    return this._inputs().errors;
  }

  /**
   * Let the cluster be asked what it has free.
   *
   * The server connects to the host that is named, so that has to be one that a person has meant:
   * not one that is half typed, nor one that a command has filled in and nobody has seen.
   */
  private _askCluster(): void {
    const { config, errors } = this._inputs();
    const isNaming =
      this._typing !== null && NAMING_HOSTS.includes(this._typing);
    const asked = Object.entries(config).filter(([field]) =>
      this._isAskedAbout(field)
    );
    this._figures.want(
      this._isUnseen || isNaming || errors.length > 0
        ? null
        : Object.fromEntries(asked)
    );
  }

  private _isAskedAbout(field: string): boolean {
    return isAskedAbout(this.uiSchema[field]);
  }

  private _checkSoon(): void {
    // The answer to what stood there before says nothing any more.
    this._due = ++this._round;
    // A form that somebody has only begun is not wrong yet.
    if (missingFields(this._values, this.schema, this.trans).length === 0) {
      this._check.invoke().catch(() => undefined);
    }
  }

  private async _checkNow(): Promise<void> {
    const round = this._round;
    const { config, errors } = this._inputs();
    if (errors.length > 0 || this._due !== round || this.isDisposed) {
      return;
    }
    let preview = this._preview;
    let problems: Remark[] = [];
    try {
      preview = await this._api.preview(config, this.kernel !== undefined);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        // Whoever goes on typing need not know; whoever presses the button will.
        return;
      }
      problems = this._explain(error);
      if (error.status === TAKEN) {
        this._typing = null;
      }
    }
    if (round === this._round && !this.isDisposed) {
      this._preview = preview;
      this._serverErrors = problems;
      this.stateChanged.emit();
    }
  }

  private _explain(error: unknown, field = ''): Remark[] {
    if (error instanceof ApiError && error.errors.length > 0) {
      const { errors, status } = error;
      return errors.map(remark => this._placed(remark, status));
    }
    return [{ field, message: explain(error, this.trans) }];
  }

  /**
   * Put a remark where it is seen: a name that nobody typed was made from the label, and is taken
   * because the label is; and what is on no field of this form goes above the buttons.
   */
  private _placed({ field, message }: Remark, status: number): Remark {
    if (field === 'name' && !this._values.name && status === TAKEN) {
      return { field: 'display_name', message };
    }
    return { field: field in this.schema.properties ? field : '', message };
  }

  private readonly _emit = (): void => {
    if (!this.isDisposed) {
      this.stateChanged.emit();
    }
  };

  private readonly _api: Api;
  private readonly _figures: Figures;
  private readonly _trial: Trial;
  private readonly _filled: readonly string[];
  private readonly _events: Event.IManager;
  private readonly _catalogue: CatalogueReader;
  private readonly _check = new Debouncer(
    () => this._checkNow(),
    CHECK_DELAY_MS
  );
  private _values: Values;
  private _textErrors: Remark[] = [];
  private _serverErrors: Remark[] = [];
  private _preview: Preview | null = null;
  private _typing: string | null = null;
  private _isBusy = false;
  /** Whether a command has filled in what the cluster would be asked, and nobody has done anything. */
  private _isUnseen: boolean;
  private _environments: Environments;
  private _writing: TaskModel | null = null;
  private _readying: TaskModel | null = null;
  private _submission: Promise<Kernel | null> = Promise.resolve(null);
  /** Counts the changes and attempts, to know an answer that comes too late. */
  private _round = 0;
  /** The round that the next check belongs to. */
  private _due = 0;
}

/**
 * Give what a test depends on, to be compared.
 */
function testedPart(config: KernelConfig): string {
  return JSON.stringify(
    Object.entries(config).filter(([field]) => !NAMES.includes(field))
  );
}

function initialValues(options: IFormOptions, schema: IConfigSchema): Values {
  const { form, environments, kernel, settings = {}, args = {} } = options;
  const { templates, required } = form.templates;
  const defaults = schemaDefaults(schema);
  if (kernel) {
    const { config, name, place } = kernel;
    const own = config && withoutSettled(config, templates);
    // A command changes what a kernel is, not which one it is.
    const values = toValues({ ...own, ...args, name, place }, schema);
    return settled(values, values, templates, {});
  }
  const environment = suggestedEnvironment(environments.environments);
  const first = required ? templates[0]?.name : undefined;
  const values = {
    ...(environment && { environment }),
    ...(first && { template: first }),
    ...defaults,
    ...toValues(form.defaults as ReadonlyPartialJSONObject, schema),
    ...toValues(settings, schema),
    ...toValues(args, schema)
  };
  return settled(values, {}, templates, defaults);
}
