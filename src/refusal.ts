import type { Remark } from './api';

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
