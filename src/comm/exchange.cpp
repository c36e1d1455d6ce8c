#include "latentcast/comm/communicator.h"

namespace latentcast {

Exchange Communicator::launch_exchange(const std::vector<Message>& sends,
                                       const std::vector<Message>& receives) {
  // Launching waits for nobody unless a communicator says so and has its own way.
  Exchange exchange;
  for (const Message& message : receives) {
    exchange.receives.push_back(launch_receive(message.tensor, message.peer));
  }
  for (const Message& message : sends) {
    exchange.sends.push_back(launch_send(message.tensor, message.peer));
  }
  return exchange;
}

}  // namespace latentcast
