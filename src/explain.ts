import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ApiError } from './api';

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
  if (!(error instanceof ApiError)) {
    throw error;
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
