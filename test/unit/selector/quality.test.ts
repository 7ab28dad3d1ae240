import { expect, test } from 'vitest';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { ToolSelector } from '../../../src/selector/tool-selector.ts';

// Requests in words of their own, against tools as real servers have them. `npm run bench:selector` measures on public data.

const TOOLS = `
calendar.create_event: Schedule a meeting with attendees, a start and an end
calendar.list_events: List the events of a calendar between two dates
database.describe_table: Show the schema of a table
database.read_query: Execute a SELECT query
database.write_query: Execute an INSERT, UPDATE or DELETE query
fetch.fetch: Fetches a URL from the internet and extracts its contents as markdown
filesystem.directory_tree: Get a recursive tree view of files and directories
filesystem.edit_file: Make line-based edits to a text file
filesystem.get_file_info: Retrieve detailed metadata about a file or directory
filesystem.move_file: Move or rename files and directories
filesystem.read_text_file: Read the complete contents of a file as text
filesystem.search_files: Recursively search for files that match a pattern
filesystem.write_file: Create a new file or overwrite an existing file
git.git_commit: Records changes to the repository
git.git_diff: Shows differences between branches or commits
git.git_log: Shows the commit logs
memory.add_observations: Add new observations to existing entities in the knowledge graph
memory.create_entities: Create multiple new entities in the knowledge graph
memory.delete_entities: Delete entities and their relations from the knowledge graph
messages.post_message: Post a message to a channel
messages.list_users: List the people of a workspace with their profiles
time.convert_time: Convert a time between timezones
time.get_current_time: Get the current time in a timezone
tracker.create_issue: Create a new issue in a repository
tracker.list_pull_requests: List pull requests in a repository
`;

const REQUESTS: readonly (readonly [string, string])[] = [
  ['Arrange an appointment with Ann on Friday', 'calendar.create_event'],
  ['Which meetings do I have between Monday and Wednesday?', 'calendar.list_events'],
  ['What columns are in the customers table?', 'database.describe_table'],
  ['Select all rows from the orders table', 'database.read_query'],
  ['Download the page at this link', 'fetch.fetch'],
  ['Show every folder below src as a tree', 'filesystem.directory_tree'],
  ['Change a few lines in notes.txt', 'filesystem.edit_file'],
  ['Rename report.md to final.md', 'filesystem.move_file'],
  ['Open the text document and show what it contains', 'filesystem.read_text_file'],
  ['Locate all documents whose names match *.md', 'filesystem.search_files'],
  ['Save this text into a new document', 'filesystem.write_file'],
  ['What is the difference between the two revisions?', 'git.git_diff'],
  ['History of the commits', 'git.git_log'],
  ['Remove the person from the graph', 'memory.delete_entities'],
  ['Make new nodes in the knowledge graph', 'memory.create_entities'],
  ['Send a text to the team channel', 'messages.post_message'],
  ['Who are the members of the workspace?', 'messages.list_users'],
  ['What time is it in Tokyo right now?', 'time.get_current_time'],
  ['Translate 5 pm in Berlin to the time zone of Boston', 'time.convert_time'],
  ['File a bug against the repo', 'tracker.create_issue'],
];

const tools: ToolDescriptor[] = TOOLS.trim()
  .split('\n')
  .map((line) => {
    const [name = '', description = ''] = line.split(': ');
    const [server = '', tool = ''] = name.split('.');
    return { kind: 'upstream', server, tool, identifier: tool, description, inputSchema: {} };
  });

test('nine of ten requests find the right tool among the first three, and two of three first', async () => {
  const selector = new ToolSelector(tools);
  const places = await Promise.all(
    REQUESTS.map(async ([request, right]) => {
      const found = await selector.search(request, { limit: 3 });
      return found.findIndex(({ server, tool }) => `${server}.${tool}` === right);
    }),
  );
  const missed = REQUESTS.filter((_, i) => places[i] === -1).map(([request]) => request);
  expect(missed.length, `missed: ${missed.join(' · ')}`).toBeLessThanOrEqual(REQUESTS.length / 10);
  expect(places.filter((place) => place === 0).length).toBeGreaterThanOrEqual((2 * REQUESTS.length) / 3);
});
