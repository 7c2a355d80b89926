import { showErrorMessage } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { notLoaded } from './late';
import { ApiError, NOT_JSON } from './refusal';

/**
 * Say in sentences why the server did not do what it was asked.
 *
 * @returns the text; any error that is not the server's is thrown again.
 */
export function explain(error: unknown, trans: TranslationBundle): string {
  if (error instanceof ServerConnection.NetworkError) {
    return trans.__(
      'The server cannot be reached. Check that it runs and that you are online, then try again.'
    );
  }
  if (error instanceof Error && error.name === 'ChunkLoadError') {
    return notLoaded(trans);
  }
  if (!(error instanceof ApiError)) {
    throw error;
  }
  if (error.reason === NOT_JSON) {
    return trans.__(
      'The answer did not come from Jupyter. Reload the page: perhaps you have to log in again.'
    );
  }
  if (error.errors.length > 0) {
    return error.message;
  }
  return error.status === 404
    ? trans.__(
        'The server extension jupyterlab_pyspark_kernels does not answer. Ask whoever runs Jupyter to install and enable it.'
      )
    : trans.__('The server answered: %1', error.message);
}

/**
 * Do what a command is for, and show why nothing was done otherwise: nobody awaits what a click
 * does.
 */
export async function orExplain<T>(
  title: string,
  trans: TranslationBundle,
  work: () => Promise<T>
): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    await showErrorMessage(title, explain(error, trans));
    return null;
  }
}
