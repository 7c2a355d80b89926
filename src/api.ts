import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { components } from './openapi';

type Schemas = components['schemas'];

export type Environment = Schemas['Environment'];
export type Form = Schemas['Form'];
export type Kernel = Schemas['Kernel'];
export type Place = Schemas['Place'];
export type Preview = Schemas['Preview'];
export type Remark = Schemas['Remark'];

/**
 * What a form or a command says of a kernel; the server completes it and checks it.
 */
export type KernelConfig = Partial<Schemas['KernelConfig']>;

const NAMESPACE = 'jupyterlab-pyspark-kernels';

/**
 * The reason of an answer that is no JSON.
 */
export const NOT_JSON = 'no-json';

/**
 * A refusal of the server.
 */
export class ApiError extends Error {
  /**
   * @param status - the HTTP status.
   * @param reason - a fixed word for programs.
   * @param message - what is wrong, in sentences.
   * @param errors - what is wrong, field by field; empty when the answer is none of ours.
   */
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
    readonly errors: readonly Remark[] = []
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

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

  environments(): Promise<Environment[]> {
    return this._request('GET', 'environments');
  }

  kernel(place: string, name: string): Promise<Kernel> {
    return this._request('GET', kernelPath(place, name));
  }

  preview(config: KernelConfig, editing: boolean): Promise<Preview> {
    return this._request('POST', `preview?editing=${editing}`, config);
  }

  create(config: KernelConfig): Promise<Kernel> {
    return this._request('POST', 'kernels', config);
  }

  /**
   * Write a kernel anew.
   *
   * @param old - the version that was edited.
   * @param config - the whole new configuration.
   */
  edit(old: Kernel, config: KernelConfig): Promise<Kernel> {
    const path = kernelPath(old.place, old.name);
    return this._request('PUT', path, config, { 'If-Match': `"${old.etag}"` });
  }

  undo(): Promise<Kernel> {
    return this._request('POST', 'undo', {});
  }

  private async _request<T>(
    method: string,
    path: string,
    body?: object,
    extraHeaders: Record<string, string> = {}
  ): Promise<T> {
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
    return readJson(response);
  }
}

function kernelPath(place: string, name: string): string {
  return `kernels/${encodeURIComponent(place)}/${encodeURIComponent(name)}`;
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
