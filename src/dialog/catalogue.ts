import { ApiError, type KernelConfig, type Settings } from '../api';
import { explain } from '../explain';
import { type ITaskServices, TaskModel } from '../tasks/model';
import { shownTasks } from '../tasks/shown';

/**
 * How far the reading of a Spark's settings is; plain data.
 */
export interface ICatalogueView {
  state: 'none' | 'reading' | 'read' | 'failed';
  settings: Settings | null;
  /** What is to be said of it. */
  text: string;
}

/**
 * The settings that the chosen Spark knows. They are read once for each, and nobody waits.
 */
export class CatalogueReader {
  /**
   * @param services - what it talks with.
   * @param onChange - is called when there is more to say.
   */
  constructor(
    private readonly _services: ITaskServices,
    private readonly _onChange: () => void
  ) {
    this._view = { state: 'none', settings: null, text: '' };
  }

  get view(): ICatalogueView {
    return this._view;
  }

  /**
   * Read the settings of a kernel's Spark, unless that was done.
   *
   * @param version - of Spark, as far as it is known.
   */
  async read(config: KernelConfig, version: string): Promise<void> {
    const { trans } = this._services;
    const { environment, spark_home } = config;
    const java = config.env?.JAVA_HOME;
    const asked = {
      ...(environment && { environment }),
      ...(spark_home && { spark_home }),
      ...(java && { env: { JAVA_HOME: java } })
    };
    const key = JSON.stringify(asked);
    if (!environment || (key === this._key && this._view.state !== 'failed')) {
      return;
    }
    this._key = key;
    const show = (view: ICatalogueView): void => {
      // Meanwhile another Spark may have been chosen, or the dialog closed.
      if (key === this._key && !this._isDisposed) {
        this._view = view;
        this._onChange();
      }
    };
    show({
      state: 'reading',
      settings: null,
      text: version
        ? trans.__('Reading the settings of Spark %1…', version)
        : trans.__('Reading the settings of Spark…')
    });
    try {
      const settings = await this._ask(asked);
      const { spark_version, settings: known } = settings;
      show({
        state: 'read',
        settings,
        text: trans.__(
          'Spark %1 documents %2 settings: type a part of a key.',
          spark_version,
          known.length
        )
      });
    } catch (error) {
      const text =
        error instanceof ApiError && error.errors.length > 0
          ? error.message
          : explain(error, trans);
      show({ state: 'failed', settings: null, text });
    }
  }

  dispose(): void {
    this._isDisposed = true;
  }

  private async _ask(config: KernelConfig): Promise<Settings> {
    const { api, trans } = this._services;
    const reading = await shownTasks.during(async () => {
      const { settings, task } = await api.settings(config);
      if (settings) {
        return settings;
      }
      return new TaskModel(this._services, task);
    });
    if (!(reading instanceof TaskModel)) {
      return reading;
    }
    // Also when the dialog is closed: so nothing of it is shown elsewhere.
    await reading.ended;
    reading.dispose();
    const { state, error } = reading.task;
    const answer = state === 'done' ? await api.settings(config) : null;
    if (answer?.settings) {
      return answer.settings;
    }
    const message =
      error?.message ?? trans.__('The settings of this Spark were not read.');
    const errors = error?.errors ?? [{ field: '', message }];
    throw new ApiError(0, state, message, errors);
  }

  private _view: ICatalogueView;
  private _key = '';
  private _isDisposed = false;
}
