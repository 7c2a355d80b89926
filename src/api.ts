import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { components } from './openapi';
import { ApiError, NOT_JSON } from './refusal';

export { ApiError, NOT_JSON };

type Schemas = components['schemas'];

export type Application = Schemas['Application'];
export type Applications = Schemas['Applications'];
export type Comparison = Schemas['Comparison'];
export type Effective = Schemas['Effective'];
export type EffectiveRow = Schemas['EffectiveRow'];
export type ClusterReport = Schemas['ClusterReport'];
export type KernelReceipt = Schemas['KernelReceipt'];
export type Receipt = Schemas['Receipt'];
export type Diagnosis = Schemas['Diagnosis'];
export type Environment = Schemas['Environment'];
export type Environments = Schemas['Environments'];
export type Form = Schemas['Form'];
export type Flight = Schemas['Flight'];
export type Export = Schemas['Export'];
export type Import = Schemas['Import'];
export type Kernel = Schemas['Kernel'];
export type KernelAddress = Schemas['KernelAddress'];
export type KernelArchive = Schemas['KernelArchive'];
export type KernelTest = NonNullable<Kernel['last_test']>;
export type KeptArchive = Schemas['KeptArchive'];
export type Offer = Schemas['Offer'];
export type OfferedRule = Schemas['OfferedRule'];
export type Offers = Schemas['Offers'];
export type Place = Schemas['Place'];
export type Preview = Schemas['Preview'];
export type Remark = Schemas['Remark'];
export type Setting = Schemas['Setting'];
export type Settings = Schemas['Settings'];
export type SparkUi = Schemas['SparkUi'];
export type Task = Schemas['Task'];

/**
 * What a form or a command says of a kernel; the server completes it and checks it.
 */
export type KernelConfig = Partial<Schemas['KernelConfig']>;

/**
 * What a kernel can be written down as.
 */
export type ExportFormat = Export['format'];

/**
 * What becomes of a kernel that is moved; what is missing stays as it is.
 */
export type Move = Partial<Pick<Kernel, 'place' | 'name' | 'display_name'>>;

/**
 * What became of a kernel that was sent: it is written, or a task goes on writing it.
 */
export type Written =
  { kernel: Kernel; task: null } | { kernel: null; task: Task };

const NAMESPACE = 'jupyterlab-pyspark-kernels';

/**
 * The status of an answer that only says that the work has begun.
 */
const ACCEPTED = 202;

/**
 * The routes of our server extension.
 *
 * Every method throws an `ApiError` when the server refuses, and a
 * `ServerConnection.NetworkError` when it cannot be reached.
 */
export class Api {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  form(): Promise<Form> {
    return this._request('GET', 'form');
  }

  environments(): Promise<Environments> {
    return this._request('GET', 'environments');
  }

  /**
   * Install into an environment what every kernel needs.
   */
  makeReady(environment: string): Promise<Task> {
    return this._request('POST', 'environments/ready', { environment });
  }

  /**
   * List the kernels of all places.
   */
  kernels(): Promise<Kernel[]> {
    return this._request('GET', 'kernels');
  }

  /**
   * List this user's Spark applications, with those that have no kernel.
   */
  applications(): Promise<Applications> {
    return this._request('GET', 'applications');
  }

  /**
   * Stop a Spark application; a kernel keeps its variables.
   *
   * @param id - as the list gives it.
   */
  async stopApplication(id: string): Promise<void> {
    await this._send('DELETE', `applications/${encodeURIComponent(id)}`);
  }

  /**
   * Tell where the Spark UI of a running kernel is.
   *
   * @param id - of the kernel.
   */
  async sparkUi(id: string): Promise<SparkUi> {
    const path = `ui/${encodeURIComponent(id)}`;
    const { url, tracking } = await this._request<SparkUi>('GET', path);
    const { baseUrl } = this._settings;
    return { url: url && new URL(url, baseUrl).href, tracking };
  }

  kernel(place: string, name: string): Promise<Kernel> {
    return this._request('GET', kernelPath(place, name));
  }

  preview(config: KernelConfig, editing: boolean): Promise<Preview> {
    return this._request('POST', `preview?editing=${editing}`, config);
  }

  /**
   * Give the settings that a kernel's Spark knows, or the task that reads them first.
   */
  async settings(
    config: KernelConfig
  ): Promise<
    { settings: Settings; task: null } | { settings: null; task: Task }
  > {
    const response = await this._send('POST', 'settings', config);
    return response.status === ACCEPTED
      ? { settings: null, task: await readJson<Task>(response) }
      : { settings: await readJson<Settings>(response), task: null };
  }

  /**
   * Give every setting of a kernel, and where its value comes from.
   *
   * @param everything - whether to list also what only Spark's default sets.
   */
  effective(config: KernelConfig, everything: boolean): Promise<Effective> {
    return this._request('POST', `effective?all=${everything}`, config);
  }

  /**
   * Tell two kernels apart.
   */
  compare(...kernels: [KernelAddress, KernelAddress]): Promise<Comparison> {
    const [left, right] = kernels.map(({ place, name }) => ({ place, name }));
    return this._request('POST', 'compare', { left, right });
  }

  /**
   * Ask what a kernel's cluster has, and whether its executors fit.
   *
   * @param config - a kernel that may be described in part only.
   */
  cluster(config: KernelConfig): Promise<ClusterReport> {
    return this._request('POST', 'cluster', config);
  }

  /**
   * Test a kernel that was not written.
   */
  testDraft(config: KernelConfig): Promise<Task> {
    return this._request('POST', 'test', config);
  }

  async create(config: KernelConfig): Promise<Written> {
    return written(await this._send('POST', 'kernels', config));
  }

  /**
   * Write a kernel anew.
   *
   * @param old - the version that was edited.
   * @param config - the whole new configuration.
   */
  async edit(old: Kernel, config: KernelConfig): Promise<Written> {
    const path = kernelPath(old.place, old.name);
    return written(await this._send('PUT', path, config, ifMatch(old)));
  }

  /**
   * Rename a kernel, or take it to another place.
   */
  async move(old: Kernel, to: Move): Promise<Written> {
    const path = `${kernelPath(old.place, old.name)}/move`;
    return written(await this._send('POST', path, to, ifMatch(old)));
  }

  /**
   * Take a kernel away; it can be undone.
   */
  async delete(place: string, name: string): Promise<void> {
    await this._send('DELETE', kernelPath(place, name));
  }

  /**
   * Start a kernel for a trial, and let every executor do something.
   */
  test(place: string, name: string): Promise<Task> {
    return this._request('POST', `${kernelPath(place, name)}/test`, {});
  }

  /**
   * Ask why the last notebook of a kernel has no Spark.
   */
  doctor(place: string, name: string): Promise<Diagnosis[]> {
    return this._request('GET', `${kernelPath(place, name)}/doctor`);
  }

  /**
   * Give what the last Spark of a kernel used, and what size would have done.
   */
  receipt(place: string, name: string): Promise<KernelReceipt> {
    return this._request('GET', `${kernelPath(place, name)}/receipt`);
  }

  export(place: string, name: string, format: ExportFormat): Promise<Export> {
    const path = `${kernelPath(place, name)}/export?format=${format}`;
    return this._request('GET', path);
  }

  /**
   * Read a spark-submit line, a kernel.json or an exported kernel, and write nothing.
   */
  import(text: string): Promise<Import> {
    return this._request('POST', 'import', { text });
  }

  /**
   * Pack anew what the executors of a kernel unpack.
   */
  repack(place: string, name: string): Promise<Task> {
    return this._request('POST', `${kernelPath(place, name)}/repack`, {});
  }

  /**
   * Take back the last change.
   *
   * @param of - the kernel whose last change it is; any when it is missing.
   */
  undo(of?: KernelAddress): Promise<Kernel> {
    const query = of ? `?${new URLSearchParams({ ...of })}` : '';
    return this._request('POST', `undo${query}`, {});
  }

  /**
   * List the packed environments.
   */
  archives(): Promise<KeptArchive[]> {
    return this._request('GET', 'archives');
  }

  /**
   * Remove the packed environments that no kernel refers to.
   *
   * @returns those that were removed.
   */
  sweep(): Promise<KeptArchive[]> {
    return this._request('POST', 'archives/sweep', {});
  }

  tasks(): Promise<Task[]> {
    return this._request('GET', 'tasks');
  }

  task(id: string): Promise<Task> {
    return this._request('GET', taskPath(id));
  }

  /**
   * Take up again what did not come to its end.
   */
  resume(id: string): Promise<Task> {
    return this._request('POST', `${taskPath(id)}/resume`, {});
  }

  /**
   * Tell a task that runs to stop.
   */
  async cancel(id: string): Promise<void> {
    await this._send('DELETE', taskPath(id));
  }

  private async _request<T>(
    method: string,
    path: string,
    body?: object
  ): Promise<T> {
    return readJson(await this._send(method, path, body));
  }

  private async _send(
    method: string,
    path: string,
    body?: object,
    extraHeaders: Record<string, string> = {}
  ): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, NAMESPACE, path);
    const headers = new Headers(this._settings.init.headers);
    headers.set('Content-Type', 'application/json');
    for (const [name, value] of Object.entries(extraHeaders)) {
      headers.set(name, value);
    }
    const response = await ServerConnection.makeRequest(
      url,
      { method, headers, body: body && JSON.stringify(body) },
      this._settings
    );
    if (!response.ok) {
      throw await refusal(response);
    }
    return response;
  }
}

async function written(response: Response): Promise<Written> {
  return response.status === ACCEPTED
    ? { kernel: null, task: await readJson<Task>(response) }
    : { kernel: await readJson<Kernel>(response), task: null };
}

function ifMatch({ etag }: Kernel): Record<string, string> {
  return { 'If-Match': `"${etag}"` };
}

function kernelPath(place: string, name: string): string {
  return `kernels/${encodeURIComponent(place)}/${encodeURIComponent(name)}`;
}

function taskPath(id: string): string {
  return `tasks/${encodeURIComponent(id)}`;
}

/**
 * Read an answer. A proxy whose session is over answers with a page to log in, and calls it a
 * success.
 */
async function readJson<T>(response: Response): Promise<T> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(response.status, NOT_JSON, text.slice(0, 100));
  }
}

/**
 * Read an error. A proxy, or a server without our extension, answers in a form of its own.
 */
async function refusal(response: Response): Promise<ApiError> {
  let answer: Partial<Schemas['Error']> | null = null;
  try {
    answer = await response.json();
  } catch {
    // Not JSON.
  }
  const status = `${response.status} ${response.statusText}`.trim();
  return new ApiError(
    response.status,
    answer?.reason || 'unknown',
    answer?.message || status,
    Array.isArray(answer?.errors) ? answer.errors : []
  );
}
